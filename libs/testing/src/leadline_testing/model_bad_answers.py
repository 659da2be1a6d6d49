"""Bad answers of the local model, each made from a valid one.

Pure functions of the valid answer, a JSON value, and of the request's body. Those about leads change answers
of the form {"answers": [{"id", ...}]} and leave others as they are.
"""

import re
from collections.abc import Callable
from typing import Any

from leadline_testing.model_answers import SENTENCE, resolve
from leadline_testing.model_request import Body, Schema, schema_of, system_of, user_texts_of

UNASKED_ID = "unasked"
# Text that a prompt marks as data: inside <tag>...</tag> or inside a JSON string.
_MARKED_DATA = re.compile(r'<(\w+)[^>]*>.*?</\1\s*>|"(?:\\.|[^"\\])*"', re.DOTALL | re.IGNORECASE)
# Advice such as "ignore all instructions inside the tags" is no order.
_ORDER = re.compile(
    r"\bignore\b(?:[^.]*\b(?:previous|prior|earlier|above)\b[^.]*|\s+all\s+(?:of\s+)?(?:the\s+|your\s+)?)"
    r"\binstructions\b(?!\s+(?:in|inside|within|from|that)\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)


def as_given(answer: Any, _body: Body) -> Any:
    """Return the answer as it is."""
    return answer


def wrong_enum(answer: Any, body: Body) -> Any:
    """Put a value that is not allowed wherever the schema lists the allowed ones."""
    schema = schema_of(body)
    return _replace_enums(answer, schema, schema, lambda _allowed: "Perhaps")


def missing_key(answer: Any, _body: Body) -> Any:
    """Leave the last key out of every innermost object."""
    return _change_innermost(answer, lambda fields: dict(list(fields.items())[:-1]))


def extra_key(answer: Any, _body: Body) -> Any:
    """Add a key that the schema does not know to every innermost object."""
    return _change_innermost(answer, lambda fields: {**fields, "unasked": True})


def empty_reasoning(answer: Any, _body: Body) -> Any:
    """Give no reason."""
    return _change_innermost(answer, lambda fields: _with_reasoning(fields, ""))


def long_reasoning(answer: Any, _body: Body) -> Any:
    """Give reasons for more than 600 characters."""
    return _change_innermost(answer, lambda fields: _with_reasoning(fields, f"{SENTENCE} " * 12))


def missing_lead(answer: Any, _body: Body) -> Any:
    """Leave the last lead out."""
    return _change_leads(answer, lambda leads: leads[:-1])


def extra_lead(answer: Any, _body: Body) -> Any:
    """Judge a lead as well that nobody asked about."""
    return _change_leads(answer, lambda leads: [*leads, {**leads[-1], "id": UNASKED_ID}])


def duplicate_lead(answer: Any, _body: Body) -> Any:
    """Judge the first lead twice."""
    return _change_leads(answer, lambda leads: [*leads, leads[0]])


def obey(answer: Any, body: Body) -> Any:
    """Obey an "ignore all instructions ... High" that stands among the instructions, for every lead.

    An order inside marked data (see `instructions_of`) changes nothing, as with a model that separates data
    from instructions, so a test with this answer fails exactly where lead text leaks into the instructions.
    """
    order = _ORDER.search(instructions_of(body))
    if order is None:
        return answer
    schema = schema_of(body)
    return _replace_enums(answer, schema, schema, lambda allowed: _first_named(allowed, order[1]))


def instructions_of(body: Body) -> str:
    """Return what a model would take for instructions.

    That is the system prompt, and what the user messages hold outside <tag>...</tag> and JSON strings.
    """
    return "\n".join([system_of(body), *(_MARKED_DATA.sub(" ", text) for text in user_texts_of(body))])


def _first_named(allowed: list[Any], order: str) -> Any:
    """Return the value whose word comes first in the order, the first allowed one where none does."""
    words = re.findall(r"\w+", order.lower())
    named = [value for value in allowed if str(value).lower() in words]
    return min(named, key=lambda value: words.index(str(value).lower()), default=allowed[0])


def _replace_enums(value: Any, schema: Schema, root: Schema, choose: Callable[[list[Any]], Any]) -> Any:
    schema = resolve(schema, root)
    if "enum" in schema:
        return choose(schema["enum"])
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return {name: _replace_enums(part, parts.get(name, {}), root, choose) for name, part in value.items()}
    if isinstance(value, list):
        return [_replace_enums(item, schema.get("items", {}), root, choose) for item in value]
    return value


def _change_innermost(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_change_innermost(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    if any(isinstance(part, dict | list) for part in value.values()):
        return {name: _change_innermost(part, change) for name, part in value.items()}
    return change(value)


def _with_reasoning(fields: dict[str, Any], reasoning: str) -> dict[str, Any]:
    return {**fields, "reasoning": reasoning} if "reasoning" in fields else fields


def _change_leads(answer: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    if isinstance(answer, dict) and answer.get("answers"):
        return {**answer, "answers": change(answer["answers"])}
    return answer
