"""A forecast in words."""

from collections.abc import Iterator

from leadline_ai.app import KEYS
from leadline_standalone.estimate import Forecast
from leadline_standalone.money import counted, dollars

_RUN, _DAY = "LEADLINE_AI_RUN_BUDGET_USD", "LEADLINE_AI_DAY_BUDGET_USD"


def forecast_lines(leads: int, forecast: Forecast | None) -> list[str]:
    """Say what scoring so many leads would cost; there is no forecast where the offline assessor answers."""
    if forecast is None:
        *keys, last = KEYS.values()
        return [
            f"{counted(leads, 'lead')}: the offline assessor answers and costs nothing. For a model's "
            f"answers set {', '.join(keys)} or {last}, and not LEADLINE_AI=offline."
        ]
    return [
        f"{counted(leads, 'lead')}: {'; '.join(_parts(forecast))}. "
        f"Budgets: {dollars(forecast.run_limit)} a run, {_day(forecast)}.",
        *_warnings(forecast),
    ]


def _parts(forecast: Forecast) -> Iterator[str]:
    estimate = forecast.estimate
    if estimate.requests:
        most = dollars(estimate.most_nano_usd, up=True)
        yield (
            f"{counted(estimate.requests, 'request')} to {forecast.model}, "
            f"about {_about(estimate.input_tokens)} input and {_about(estimate.output_tokens)} output "
            f"tokens: about {dollars(estimate.nano_usd)}, at most {most} where "
            "every answer is as long as it may be, and what has to be asked again on top"
        )
    if estimate.answered or not estimate.requests:
        are = "is" if estimate.answered == 1 else "are"
        yield f"{counted(estimate.answered, 'lead')} {are} answered already and cost nothing"


def _day(forecast: Forecast) -> str:
    limit, left = dollars(forecast.day_limit), dollars(forecast.day_left)
    return f"{limit} a day" if left == limit else f"{limit} a day, of which {left} is left"


def _warnings(forecast: Forecast) -> list[str]:
    room, setting, whose = min(
        (forecast.run_limit, _RUN, "a run may cost"), (forecast.day_left, _DAY, "is left for today (UTC)")
    )
    if forecast.estimate.nano_usd > room:
        passes = "That passes the"
    elif forecast.estimate.most_nano_usd > room:
        passes = "With long answers that may pass the"
    else:
        return []
    return [
        f"{passes} {dollars(room)} that {whose}: what is over it is scored by rules alone; raise {setting} "
        "to have it judged as well."
    ]


def _about(tokens: int) -> str:
    """Return a figure with its two leading digits, since it is no more certain than that."""
    return f"{int(float(f'{tokens:.1e}')):,}"
