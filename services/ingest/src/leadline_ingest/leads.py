"""The one validation that both doors use: what a lead must be before anybody scores it."""

from pydantic import ValidationError

from leadline_common.errors import FieldError
from leadline_common.messages import LEAD_FIELDS, LeadSpec

MAX_CHARACTERS = 2_000_000
"""Of all fields of a lead together: brokers and stores limit a message or document to 16 MiB."""
_NUL = "\x00"


def characters(spec: LeadSpec) -> int:
    """Count the characters of all fields together."""
    return sum(len(getattr(spec, field)) for field in LEAD_FIELDS)


def check_lead(spec: LeadSpec) -> FieldError | None:
    """Return what makes the lead unfit to be scored, None where nothing does."""
    for field in LEAD_FIELDS:
        if _NUL in getattr(spec, field):
            return FieldError(field, "holds a NUL character; remove it")
    if characters(spec) > MAX_CHARACTERS:
        return FieldError("lead", f"holds more than {MAX_CHARACTERS:,} characters in all; shorten it")
    if not any(getattr(spec, field).strip() for field in LEAD_FIELDS):
        return FieldError("lead", f"is empty; give at least one of {', '.join(LEAD_FIELDS)}")
    return None


def read_lead(value: object) -> LeadSpec | FieldError:
    """Read a lead that another system sent; its text is kept but for surrounding white space.

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
