"""The AI spend of runs, from messages that come in any order and more than once."""

from collections.abc import Iterable

from leadline_contracts.scoring import AiChunkScored, AiSpend
from leadline_results.runs.record import PartMessage

FIGURES = frozenset(AiSpend.model_fields) - {"source", "assessor"}
"""The fields of a spend that only grow."""


class RunSpend(AiSpend):
    """What the AI answers of one run have cost so far with one model."""

    owner: str
    run_id: str


def spend_of(messages: Iterable[PartMessage]) -> list[RunSpend]:
    """Return the highest figures in the messages, one spend for each run and model that was asked."""
    highest: dict[tuple[str, str, str], RunSpend] = {}
    for message in messages:
        if isinstance(message, AiChunkScored) and message.spend is not None:
            told = RunSpend(owner=message.owner, run_id=message.run_id, **vars(message.spend))
            key = (told.run_id, told.source, told.assessor)
            highest[key] = _higher(highest[key], told) if key in highest else told
    return list(highest.values())


def _higher(known: RunSpend, told: RunSpend) -> RunSpend:
    figures = {name: max(getattr(known, name), getattr(told, name)) for name in FIGURES}
    return known.model_copy(update=figures)
