"""Messages as version 1 wrote them are read for ever: `golden` holds one of each type.

A golden file is never changed to make a test pass; what an older reader or writer would trip over gets a
new version in its type, and a new file. A field that nobody trips over is added to the file and to `ADDED`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from leadline_contracts import inbound as workflow
from leadline_contracts import scoring as messages
from leadline_contracts.envelope import Wire
from leadline_testing.tables import every_row

GOLDEN = Path(__file__).parent / "golden"
CONTRACTS: dict[str, type[Wire]] = {
    member.TYPE: member
    for member in (*vars(messages).values(), *vars(workflow).values())
    if isinstance(member, type) and issubclass(member, Wire) and hasattr(member, "TYPE")
}
ADDED: dict[str, dict[str, object]] = {
    "leads.accepted.v1": {
        "refresh": False,
        "columns": None,
        "columns.2.header": None,
        "leads.0.row": None,
        "leads.0.external_id": None,
        "leads.0.extra": None,
    },
    "results.scored.v1": {"results.0.external_id": None},
    "runs.finished.v1": {"cancelled": False},
    "runs.started.v1": {"refresh": False, "expected": None},
    "scores.ai.v1": {"spend": None},
}
"""The fields that came after the first messages of a type, by path, and what is read where one is absent."""
READ_LATER = {messages.LeadsSubmitted.TYPE: "leads", workflow.StepFinished.TYPE: "output"}
"""The parts that a contract takes as they come, since they are read where they are used."""


def read(kind: str, value: object) -> Wire:
    """Read a value as a message of that type."""
    return CONTRACTS[kind].model_validate_json(json.dumps(value))


def golden(kind: str) -> Any:
    """Return the message as version 1 wrote it."""
    return json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))


def with_unknown_fields(value: Any) -> Any:
    """Return the value with one more field in each of its objects; titles are a sender's, no fields."""
    if isinstance(value, dict):
        known = {key: inner if key == "extra" else with_unknown_fields(inner) for key, inner in value.items()}
        return {**known, "of_tomorrow": [1]}
    return [with_unknown_fields(inner) for inner in value] if isinstance(value, list) else value


def required_fields(kind: str) -> list[str]:
    """Return the fields without which a message of the type cannot be read."""
    return [name for name, field in CONTRACTS[kind].model_fields.items() if field.is_required()]


def test_each_type_has_its_golden_message() -> None:
    """A new message type cannot be forgotten here, nor an old one dropped from the contracts."""
    assert {path.stem for path in GOLDEN.iterdir()} == set(CONTRACTS)


@every_row("kind", sorted(CONTRACTS))
def test_what_was_written_then_is_read_and_written_alike_now(kind: str) -> None:
    """Today's class reads the old message whole, and writes every field of it under the same name."""
    old = golden(kind)
    written = json.loads(read(kind, old).model_dump_json(exclude_none=True))
    assert kept(written, old) == old


@every_row("kind", sorted(CONTRACTS))
def test_fields_of_a_newer_writer_are_passed_over(kind: str) -> None:
    """A producer may add fields at any depth before its consumers know them."""
    old = golden(kind)
    new = with_unknown_fields(old)
    if part := READ_LATER.get(kind):
        new[part] = old[part]
    assert read(kind, new) == read(kind, old)


def test_a_steps_output_of_then_is_taken_now() -> None:
    """A route that an older ai service answers, or one that is kept, is not refused by a newer contract."""
    finished = golden(workflow.StepFinished.TYPE)
    assert workflow.checked_output(finished["step"], finished["output"]) == finished["output"]


@every_row("kind", sorted(CONTRACTS))
def test_no_field_has_become_required(kind: str) -> None:
    """Today's class requires nothing that the old message did not carry, and misses what it does require."""
    old = golden(kind)
    assert set(required_fields(kind)) <= set(old)
    for name in required_fields(kind):
        with pytest.raises(ValidationError):
            read(kind, {key: value for key, value in old.items() if key != name})


@pytest.mark.parametrize(
    ("kind", "field", "default"),
    [(kind, field, default) for kind, fields in ADDED.items() for field, default in fields.items()],
)
def test_a_message_from_before_a_field_was_added_is_read(kind: str, field: str, default: object) -> None:
    """What waits in a queue while its consumer is updated is read as it was meant."""
    *parents, name = field.split(".")
    new = golden(kind)
    told = inner(new, parents).pop(name)
    assert told != default
    assert getattr(inner(read(kind, new), parents), name) == default


def inner(value: Any, path: list[str]) -> Any:
    """Return the part of a message, or of its JSON, that the path leads to."""
    for step in path:
        if step.isdigit():
            value = value[int(step)]
        else:
            value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


def kept(new: Any, old: Any) -> Any:
    """Return the part of the new value that the old one has too."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: kept(new[key], old[key]) for key in old if key in new}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [kept(one, other) for one, other in zip(new, old, strict=True)]
    return new
