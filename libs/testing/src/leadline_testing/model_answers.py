"""What the local model says: answers made from the JSON schema in the request, and ways to spoil them.

Pure functions. An answer is a JSON value, or a str to be sent as it is; a body is the parsed JSON of a
POST /v1/messages.
"""

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Schema = dict[str, Any]

SENTENCE = "The role and the industry fit the use cases of the offer."
# Text that a prompt marks as data: inside <tag>...</tag> or inside a JSON string.
_MARKED_DATA = re.compile(r'<(\w+)[^>]*>.*?</\1>|"(?:\\.|[^"\\])*"', re.DOTALL)
_ORDER = re.compile(
    r"\bignore\b[^.]*\b(?:previous|prior|earlier|above)\b[^.]*\binstructions\b(.*)", re.I | re.S
)


def schema_of(body: Body) -> Schema:
    """Return the JSON schema the request asks its answer to follow, {} where it asks for none."""
    output_format = (body.get("output_config") or {}).get("format") or {}
    schema: Schema = output_format.get("schema") or {}
    return schema


def answer_from_schema(body: Body) -> Any:
    """Answer validly and plausibly: the same request always gets the same answer, others get others."""
    schema = schema_of(body)
    seed = zlib.crc32(json.dumps(body.get("messages"), sort_keys=True).encode())
    return _fill(schema, schema, seed)


def wrong_enum(answer: Any, body: Body) -> Any:
    """Put a value nobody listed wherever the schema lists the allowed ones."""
    schema = schema_of(body)
    return _replace_enums(answer, schema, schema, lambda _allowed: "Perhaps")


def missing_key(answer: Any, _body: Body) -> Any:
    """Leave the last key out of every innermost object."""
    return _change_innermost(answer, lambda fields: dict(list(fields.items())[:-1]))


def extra_key(answer: Any, _body: Body) -> Any:
    """Add a key that the schema does not know to every innermost object."""
    return _change_innermost(answer, lambda fields: {**fields, "unasked": True})


def obey(answer: Any, body: Body) -> Any:
    """Give in to "ignore previous instructions ... High" where it stands among the instructions.

    An order inside marked data (see `instructions_of`) changes nothing, as with a model that can tell
    data from instructions, so a test with this answer fails exactly where lead text leaks out of its place.
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
    said = [
        _text(message.get("content")) for message in body.get("messages", []) if message.get("role") == "user"
    ]
    return "\n".join([_text(body.get("system")), *(_MARKED_DATA.sub(" ", text) for text in said)])


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content or () if block.get("type") == "text")


def _first_named(allowed: list[Any], order: str) -> Any:
    places = {order.lower().find(str(value).lower()): value for value in allowed}
    named = [place for place in places if place >= 0]
    return places[min(named)] if named else allowed[0]


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow a local $ref, take the first alternative that is not null, and read const as an enum of one."""
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return _resolve(target, root)
    for alternative in schema.get("anyOf", ()):
        if alternative.get("type") != "null":
            return _resolve(alternative, root)
    return {"enum": [schema["const"]]} if "const" in schema else schema


def _fill(schema: Schema, root: Schema, seed: int) -> Any:
    schema = _resolve(schema, root)
    if "enum" in schema:
        return schema["enum"][seed % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            return {name: _fill(part, root, seed) for name, part in schema.get("properties", {}).items()}
        case "array":
            count = max(1, schema.get("minItems", 1))
            return [_fill(schema.get("items", {}), root, seed + index) for index in range(count)]
        case "number" | "integer" as kind:
            return _fill_number(schema, seed, whole=kind == "integer")
        case "boolean":
            return bool(seed % 2)
    return SENTENCE[: schema.get("maxLength")]


def _fill_number(schema: Schema, seed: int, *, whole: bool) -> float:
    low: float = schema.get("minimum", 0)
    high: float = schema.get("maximum", low + (100 if whole else 1))
    share = (high - low) * (seed % 101) / 100
    return low + (int(share) if whole else round(share, 2))


def _replace_enums(value: Any, schema: Schema, root: Schema, choose: Callable[[list[Any]], Any]) -> Any:
    schema = _resolve(schema, root)
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
