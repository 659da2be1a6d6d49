"""The one validation that both entrypoints use: what a lead needs to be scored."""

from pydantic import ValidationError

from leadline_contracts.errors import FieldError
from leadline_contracts.scoring import LEAD_BYTES, LEAD_FIELDS, LeadSpec, text_bytes

_NUL = "\x00"


def check_lead(spec: LeadSpec) -> FieldError | None:
    """Return why the lead cannot be scored, None where it can."""
    for field in LEAD_FIELDS:
        if _NUL in getattr(spec, field):
            return FieldError(field, "holds a NUL character; remove it")
    if (size := text_bytes(spec)) > LEAD_BYTES:
        longest = max(LEAD_FIELDS, key=lambda field: len(getattr(spec, field)))
        return FieldError(
            "lead",
            f"holds {size:,} bytes of text and may hold {LEAD_BYTES:,}, all fields together; "
            f"shorten {longest}, the longest",
        )
    if not any(getattr(spec, field).strip() for field in LEAD_FIELDS):
        return FieldError("lead", f"is empty; give at least one of {', '.join(LEAD_FIELDS)}")
    return None


def read_lead(value: object) -> LeadSpec | FieldError:
    """Read a lead that another system sent; its text is kept, without white space around it.

    A field that is null counts as missing.
    """
    if isinstance(value, dict):
        value = {name: field for name, field in value.items() if field is not None}
    try:
        spec = LeadSpec.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return FieldError(".".join(str(part) for part in first["loc"]) or "lead", first["msg"])
    spec = LeadSpec(**{field: getattr(spec, field).strip() for field in LEAD_FIELDS})
    return check_lead(spec) or spec
