"""The question to a language model about leads, and the reading of its answer.

Offer and leads go in as data: JSON inside tags, with `<` and `>` escaped, so that no text in them can close
its tag or open another. What comes back is held to ANSWER_SCHEMA here, whatever the provider promises.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from leadline_ai.leads.answers import MAX_REASONING, Answer
from leadline_ai.prompt_text import fence, first_fault, one_line
from leadline_contracts.scoring import LEAD_FIELDS, Intent, Lead, Offer
from leadline_text.clip import clip
from leadline_text.visible import visible

PROMPT_VERSION = "intent.v2"

# Structured outputs take no minimum, maximum or maxLength: those are held to in _Verdict.
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs
ANSWER_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "reasoning": {"type": "string", "description": "1-2 plain sentences"},
                    "intent": {"type": "string", "enum": ["High", "Medium", "Low"]},
                    "confidence": {"type": "number", "description": "from 0 to 1"},
                },
                "required": ["id", "reasoning", "intent", "confidence"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["answers"],
    "additionalProperties": False,
}

_FIELD_LIMIT = 200
_BIO_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """A version of the instructions: `system` is the same for all, `prefix` for all leads of an offer."""

    version: str
    system: str
    _prefix: Template
    _body: Template
    _lead: Template
    _correction: Template

    def prefix(self, offer: Offer) -> str:
        """Return the part of the question that describes the offer."""
        return self._prefix.substitute(offer=fence(_offer_data(offer)))

    def body(self, leads: Sequence[Lead], fault: str = "") -> str:
        """Return the part that asks about the leads, named "1", "2", … in their order.

        What a lead holds is bounded field by field. `fault` is what was wrong with an earlier answer.
        """
        told = (
            self._lead.substitute(id=number, lead=lead_data(lead)) for number, lead in enumerate(leads, 1)
        )
        asked = self._body.substitute(leads="\n".join(told))
        return f"{asked}\n\n{self._correction.substitute(fault=fault)}" if fault else asked


def load_prompt(version: str = PROMPT_VERSION) -> Prompt:
    """Read `prompts/<version>.toml` of this package; raises FileNotFoundError where there is none."""
    text = files("leadline_ai").joinpath("prompts", f"{version}.toml").read_text(encoding="utf-8")
    data = {name: part.strip() for name, part in tomllib.loads(text).items()}
    parts = (Template(data[name]) for name in ("prefix", "body", "lead", "correction"))
    return Prompt(version, data["system"], *parts)


def lead_data(lead: Lead) -> str:
    """Return all of a lead that goes into a prompt, as JSON fit to stand in a tag: its six fields alone.

    Other columns of its sender, its row and its external id go to no provider, nor into a cache key.
    """
    return _lead_data(*(getattr(lead, name) for name in LEAD_FIELDS))


# A lead is written three times: for its key, for the cost of the request, and in the request.
@lru_cache(1_024)
def _lead_data(*texts: str) -> str:
    limits = {name: _BIO_LIMIT if name == "linkedin_bio" else _FIELD_LIMIT for name in LEAD_FIELDS}
    given = dict(zip(LEAD_FIELDS, (visible(text).strip() for text in texts), strict=True))
    return fence({name: clip(text, limits[name]) for name, text in given.items() if text})


@dataclass(slots=True)
class Reading:
    """What an answer holds: usable answers, and by lead id what was wrong or missing.

    A fault is one line in our own words, which quotes nothing of the answer.
    """

    answers: list[Answer] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults.update(dict.fromkeys(self.left_out, "left out"))


def read_answers(lead_ids: Sequence[str], text: str) -> Reading:
    """Read a model's answer about these leads, in the order in which they were asked about.

    An entry that does not fit ANSWER_SCHEMA is a fault of its own lead. An unknown or repeated id makes all
    entries unusable, since it is then uncertain which entry is about which lead.
    """
    names = {str(number): lead_id for number, lead_id in enumerate(lead_ids, 1)}
    try:
        return _sorted_out(names, _Verdicts.model_validate_json(text).answers)
    except ValidationError as error:
        return _read_one_by_one(names, text, error)


def _plain(value: object) -> object:
    return one_line(value) if isinstance(value, str) else value


class _Verdict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    id: str
    reasoning: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_REASONING), BeforeValidator(_plain)
    ]
    intent: Intent
    confidence: float = Field(ge=0, le=1)


class _Verdicts(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    answers: list[_Verdict]


class _Entries(BaseModel):
    """The answer before its entries are checked."""

    model_config = ConfigDict(strict=True, extra="forbid")

    answers: list[dict[str, Any]]


def _read_one_by_one(names: Mapping[str, str], text: str, error: ValidationError) -> Reading:
    try:
        entries = _Entries.model_validate_json(text).answers
    except ValidationError:
        return _spoilt(names, f"the answer does not fit the schema: {first_fault(error)}")
    read: list[_Verdict] = []
    faults: list[tuple[str, str]] = []
    for entry in entries:
        try:
            read.append(_Verdict.model_validate(entry))
        except ValidationError as wrong:
            name = entry.get("id")
            if not isinstance(name, str):
                return _spoilt(names, "an entry of the answer has no id")
            faults.append((name, f"its entry does not fit the schema: {first_fault(wrong)}"))
    return _sorted_out(names, read, faults)


def _sorted_out(
    names: Mapping[str, str], read: Sequence[_Verdict], faults: Sequence[tuple[str, str]] = ()
) -> Reading:
    seen = Counter([*(verdict.id for verdict in read), *(name for name, _fault in faults)])
    if seen.keys() - names.keys():
        return _spoilt(names, "the answer has an id that was not asked about")
    if seen.total() > len(seen):
        return _spoilt(names, "the answer has two entries with one id")
    return Reading(
        answers=[Answer(names[v.id], v.intent, v.confidence, v.reasoning) for v in read],
        faults={names[name]: fault for name, fault in faults},
        left_out=[lead_id for name, lead_id in names.items() if name not in seen],
    )


def _spoilt(names: Mapping[str, str], fault: str) -> Reading:
    return Reading(faults=dict.fromkeys(names.values(), fault))


def _offer_data(offer: Offer) -> dict[str, Any]:
    return offer.model_dump(exclude={"id"}, exclude_defaults=True)
