"""What the local model says: valid answers made from the JSON schema in the request. Pure functions."""

import zlib
from typing import Any

from leadline_testing.model_request import Body, Schema, leads_in, schema_of, user_texts_of

SENTENCE = "The role and the industry fit the use cases of the offer."


def answer_from_schema(body: Body) -> Any:
    """Answer validly and plausibly; the same question always gets the same answer, others get others.

    A schema of {"answers": [{"id", ...}]} gets one item for each <lead id="..."> of the request, in order,
    made from that lead's text alone: a lead is answered alike in whatever company it is asked about.
    """
    schema = schema_of(body)
    answer = _fill(schema, schema, _seed("\n".join(user_texts_of(body))))
    item = _item_with_id(schema)
    if item and (leads := leads_in(body)):
        answer["answers"] = [{**_fill(item, schema, _seed(text)), "id": name} for name, text in leads]
    return answer


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow a local $ref, take the first alternative that is not null, and read const as an enum of one."""
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return resolve(target, root)
    for alternative in schema.get("anyOf", ()):
        if alternative.get("type") != "null":
            return resolve(alternative, root)
    return {"enum": [schema["const"]]} if "const" in schema else schema


def _item_with_id(schema: Schema) -> Schema | None:
    """Return what an item of `answers` looks like, None where the schema has no such items with ids."""
    answers = resolve(schema.get("properties", {}).get("answers", {}), schema)
    item = resolve(answers.get("items", {}), schema)
    return item if "id" in item.get("properties", {}) else None


def _seed(text: str) -> int:
    return zlib.crc32(text.encode())


def _fill(schema: Schema, root: Schema, seed: int) -> Any:
    schema = resolve(schema, root)
    if "enum" in schema:
        return schema["enum"][seed % len(schema["enum"])]
    # Gemini's own schema dialect writes its types in capitals.
    match str(schema.get("type")).lower():
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
