"""What a model's tokens cost. All money is in 10^-9 US dollars, a whole number."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from leadline_ai.providers.port import Question, Usage
from leadline_contracts.envelope import describe
from leadline_contracts.errors import SettingsError

NANO_PER_USD = 1_000_000_000
_NANO_PER_USD_A_MTOK = 1_000
_BYTES_A_TOKEN = 3
"""Low on purpose, so that estimates err upwards: English has about 4 bytes a token, Chinese about 3."""


def _as_input(rates: dict[str, float]) -> float:
    return rates["input"]


class Price(BaseModel):
    """Prices in US dollars a million tokens; `cache_from` is the shortest prefix cached, in tokens.

    A rate of the prompt cache that is not given is that of other input: some providers cache unasked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float = Field(default_factory=_as_input, ge=0)
    cache_write: float = Field(default_factory=_as_input, ge=0)
    cache_from: int | None = Field(default=None, ge=1)

    @classmethod
    def of(cls, model: str, own_prices: Path | None = None) -> Self:
        """Return the price of a model, from the given TOML file where it has it, else from `prices.toml`.

        Raises SettingsError where neither knows the model or the file cannot be read: without a price there
        is no budget.
        """
        known = _read(files("leadline_ai").joinpath("prices.toml").read_bytes().decode(), "prices.toml")
        if own_prices is not None:
            known |= _read_file(own_prices)
        if model not in known:
            raise SettingsError(
                f"LEADLINE_AI_MODEL: no price is known for {model!r}, so no budget can be kept; "
                f'put ["{model}"] with input = … and output = … (US dollars a million tokens, 0 where it is '
                "free) into a TOML file and name it in LEADLINE_AI_PRICES"
            )
        return cls.model_validate(known[model].model_dump())

    def cost(self, usage: Usage) -> int:
        """Return what a call cost."""
        dollars = (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
        )
        return round(dollars * _NANO_PER_USD_A_MTOK)

    def bound(self, question: Question) -> int:
        """Return what asking may cost at most: all input at its highest rate, every token of the answer."""
        dearest = self.model_copy(update={"input": max(self.input, self.cache_read, self.cache_write)})
        return dearest.cost(Usage(input_tokens=input_tokens(question), output_tokens=question.max_tokens))

    def caches(self, *parts: str) -> bool:
        """Tell whether these texts together are long enough for the provider's prompt cache."""
        return self.cache_from is not None and sum(map(tokens, parts)) * 3 // 4 >= self.cache_from


def tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too many than too few."""
    return len(text.encode()) // _BYTES_A_TOKEN + 1


def input_tokens(question: Question) -> int:
    """Estimate the tokens that are sent, rather too many than too few; providers bill the schema as well."""
    return sum(map(tokens, (question.system, question.prefix, question.body, json.dumps(question.schema))))


_Prices = TypeAdapter(dict[str, Price])


def _read_file(path: Path) -> dict[str, Price]:
    try:
        return _read(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"LEADLINE_AI_PRICES: {path} cannot be read: {error}") from None


def _read(text: str, name: str) -> dict[str, Price]:
    try:
        return _Prices.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"LEADLINE_AI_PRICES: {name} is not TOML: {error}") from None
    except ValidationError as error:
        raise SettingsError(
            f"LEADLINE_AI_PRICES: {name}: {describe(error)}; "
            'each model is a table, its name in quotes (["gpt-5.4-mini"]), with input and output'
        ) from None
