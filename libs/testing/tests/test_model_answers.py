"""Default answers follow whatever schema a later version asks for."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from leadline_testing.model_answers import answer_from_schema, extra_key, missing_key, wrong_enum


class Judgement(BaseModel):
    """One lead's answer among several."""

    model_config = ConfigDict(extra="forbid")
    lead_id: str
    intent: Literal["High", "Medium", "Low"]
    confidence: float = Field(ge=0, le=1)
    points: int = Field(ge=1, le=3)
    sure: bool
    kind: Literal["prospect"]
    note: str | None
    reasoning: str = Field(max_length=20)


class Judgements(BaseModel):
    """Several leads' answers."""

    answers: list[Judgement] = Field(min_length=2)


def request(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    """A body that asks for an answer by `schema`."""
    return {
        "messages": [{"role": "user", "content": prompt}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }


@pytest.mark.parametrize("shape", [Judgement, Judgements, list[Judgement]])
def test_any_schema_of_ours_is_answered_validly(shape: Any) -> None:
    """References, nested lists, bounds, constants and nullable fields are all respected."""
    adapter = TypeAdapter(shape)
    for number in range(50):
        adapter.validate_python(answer_from_schema(request(adapter.json_schema(), f"lead {number}")))


@pytest.mark.parametrize("spoil", [wrong_enum, missing_key, extra_key])
def test_spoiling_reaches_every_lead_of_a_list(spoil: Any) -> None:
    """Each of several answers is spoilt, not the object around them."""
    body = request(Judgements.model_json_schema(), "two leads")
    spoilt = spoil(answer_from_schema(body), body)
    assert spoilt.keys() == {"answers"}
    assert len(spoilt["answers"]) == 2
    for answer in spoilt["answers"]:
        with pytest.raises(ValueError, match="validation error"):
            Judgement.model_validate(answer)


def test_a_request_without_a_schema_gets_a_sentence() -> None:
    """Plain text is answered where no structure was asked for."""
    assert isinstance(answer_from_schema({"messages": []}), str)
