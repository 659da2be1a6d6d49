"""The one validation that both entrypoints use: what a lead needs to be scored."""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from leadline_contracts.errors import FieldError
from leadline_contracts.scoring import (
    EXTRA_BYTES,
    EXTRA_COLUMNS,
    LEAD_BYTES,
    LEAD_FIELDS,
    LeadSpec,
    extra_bytes,
    field_texts,
    text_bytes,
)
from leadline_text.visible import visible

_NUL = "\x00"


def check_lead(spec: LeadSpec) -> FieldError | None:
    """Return why the lead cannot be scored, None where it can."""
    texts = field_texts(spec)
    if any(_NUL in text for text in texts):
        field = next(field for field, text in zip(LEAD_FIELDS, texts, strict=True) if _NUL in text)
        return FieldError(field, "holds a NUL character; remove it")
    if (size := text_bytes(spec)) > LEAD_BYTES:
        longest = max(LEAD_FIELDS, key=lambda field: len(getattr(spec, field)))
        return FieldError(
            "lead",
            f"holds {size:,} bytes of text and may hold {LEAD_BYTES:,}, all fields together; "
            f"shorten {longest}, the longest",
        )
    if not any(visible(text).strip() for text in texts):
        return FieldError("lead", f"is empty; give at least one of {', '.join(LEAD_FIELDS)}")
    return _check_extra(spec.extra) if spec.extra else None


def _check_extra(extra: Mapping[str, str]) -> FieldError | None:
    if any(_NUL in text for column in extra.items() for text in column):
        return FieldError("extra", "holds a NUL character; remove it")
    if len(extra) > EXTRA_COLUMNS:
        return FieldError("extra", f"holds {len(extra):,} columns and may hold {EXTRA_COLUMNS:,}")
    if (size := extra_bytes(extra)) > EXTRA_BYTES:
        return FieldError(
            "extra", f"holds {size:,} bytes of text, titles and values, and may hold {EXTRA_BYTES:,}"
        )
    return None


def read_lead(value: object) -> LeadSpec | FieldError:
    """Read a lead that another system sent; its text is kept, without white space around it.

    A field that is null counts as missing. Numbers, true and false are taken as text in `external_id` and
    in `extra`.
    """
    if isinstance(value, dict):
        value = {name: field for name, field in value.items() if field is not None}
        for name in ("external_id", "extra"):
            if name in value:
                value[name] = _as_text(value[name])
    try:
        spec = LeadSpec.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return FieldError(".".join(str(part) for part in first["loc"]) or "lead", first["msg"])
    stripped = {field: getattr(spec, field).strip() for field in LEAD_FIELDS}
    spec = LeadSpec(**stripped, external_id=spec.external_id, extra=spec.extra or None)
    return check_lead(spec) or spec


def _as_text(value: object) -> object:
    """Return numbers, true and false as JSON writes them, also within an object; anything else as it is."""
    if isinstance(value, dict):
        return {str(name): _as_text(one) for name, one in value.items() if one is not None}
    return json.dumps(value) if isinstance(value, bool | int | float) else value
