"""What a language model is asked about a lead, and how its answer is read.

Offer and lead go in as data: JSON inside tags, with `<` and `>` escaped, so that no text in them can close
its tag or open another. What comes back is held to ANSWER_SCHEMA here, whatever the provider promises.
"""

import json
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from leadline_ai.assessor import MAX_REASONING, Answer, Failure, clip, one_line
from leadline_common.messages import LEAD_FIELDS, Intent, Lead, Offer, describe

PROMPT_VERSION = "intent.v1"

# Structured outputs take no minimum, maximum or maxLength: those are held to in _Verdict.
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs
ANSWER_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "description": "1-2 plain sentences, at most 400 characters"},
        "intent": {"type": "string", "enum": ["High", "Medium", "Low"]},
        "confidence": {"type": "number", "description": "from 0 to 1"},
    },
    "required": ["reasoning", "intent", "confidence"],
    "additionalProperties": False,
}

_FIELD_LIMIT = 200
_BIO_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """A version of the instructions: `system` stays the same, `user` has places for $offer and $lead."""

    version: str
    system: str
    user: Template

    def ask(self, offer: Offer, lead: Lead) -> str:
        """Return the user message about one lead; what the lead holds is bounded field by field."""
        return self.user.substitute(offer=_fence(_offer_data(offer)), lead=_fence(_lead_data(lead)))


def load_prompt(version: str = PROMPT_VERSION) -> Prompt:
    """Read `prompts/<version>.toml` of this package; raises FileNotFoundError where there is none."""
    text = files("leadline_ai").joinpath("prompts", f"{version}.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return Prompt(version, data["system"].strip(), Template(data["user"].strip()))


def read_answer(lead_id: str, text: str) -> Answer | Failure:
    """Read a model's answer as ANSWER_SCHEMA says; anything else is an unusable Failure."""
    try:
        verdict = _Verdict.model_validate_json(text)
    except ValidationError as error:
        return Failure(lead_id, "unusable", f"the answer does not fit the schema: {_first_fault(error)}")
    return Answer(lead_id, verdict.intent, verdict.confidence, verdict.reasoning)


class _Verdict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    reasoning: Annotated[
        str, AfterValidator(one_line), StringConstraints(min_length=1, max_length=MAX_REASONING)
    ]
    intent: Intent
    confidence: float = Field(ge=0, le=1)


def _first_fault(error: ValidationError) -> str:
    """Name the first wrong field; a key of the model's own making may hold lead text and is not named."""
    first = error.errors(include_url=False, include_input=False)[0]
    return "a key that was not asked for" if first["type"] == "extra_forbidden" else describe(error)


def _offer_data(offer: Offer) -> dict[str, Any]:
    return offer.model_dump(exclude={"id"}, exclude_defaults=True)


def _lead_data(lead: Lead) -> dict[str, str]:
    limits = {field: _BIO_LIMIT if field == "linkedin_bio" else _FIELD_LIMIT for field in LEAD_FIELDS}
    given = {field: getattr(lead, field).strip() for field in LEAD_FIELDS}
    return {field: clip(text, limits[field]) for field, text in given.items() if text}


def _fence(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
