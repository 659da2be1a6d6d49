"""What a request to upload says besides the file: in its form or in its query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from leadline_contracts.errors import FieldError, Problem
from leadline_contracts.scoring import LEAD_FIELDS
from leadline_ingest.prospects.table.matching import Mapped

NAMES = ("offer_id", "map", "encoding", "duplicates", "dry_run")
"""What may stand beside the file."""
_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})
_HOW_TO_MAP = (
    'an object of fields and column titles, as in {"role": "Current Job", "name": ["First", "Last"]}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """How a file is to be taken.

    `offer_id` is the only offer its prospects are for, `mapped` which columns hold a field, `encoding` the
    one that the sender names and `charset` what a Content-Type says, `keep_duplicates` whether prospects that
    are known are stored again, `dry_run` whether nothing is stored at all.
    """

    offer_id: str | None = None
    mapped: Mapped = field(default_factory=dict)
    encoding: str | None = None
    charset: str | None = None
    keep_duplicates: bool = False
    dry_run: bool = False


def read_options(given: Mapping[str, str]) -> UploadOptions:
    """Read what was given, all of it text. Raises Problem (422) that names what is wrong."""
    errors: list[FieldError] = []
    mapped = _mapped(given.get("map", ""), errors)
    duplicates = given.get("duplicates", "").strip().casefold() or "skip"
    if duplicates not in {"skip", "keep"}:
        errors.append(FieldError("duplicates", "must be skip (each prospect once) or keep"))
    dry_run = given.get("dry_run", "").strip().casefold()
    if dry_run not in _YES | _NO:
        errors.append(FieldError("dry_run", "must be true or false"))
    if errors:
        raise Problem(
            422,
            "Invalid fields",
            "Correct the fields named in `errors` and upload the file again; nothing of it was taken.",
            errors=errors,
        )
    return UploadOptions(
        offer_id=given.get("offer_id", "").strip() or None,
        mapped=mapped,
        encoding=given.get("encoding", "").strip() or None,
        keep_duplicates=duplicates == "keep",
        dry_run=dry_run in _YES,
    )


def _mapped(text: str, errors: list[FieldError]) -> dict[str, list[str]]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        errors.append(FieldError("map", f"must be JSON: {_HOW_TO_MAP}"))
        return {}
    mapped: dict[str, list[str]] = {}
    for name, named in value.items():
        titles = [] if named is None else [named] if isinstance(named, str) else named
        if name not in LEAD_FIELDS:
            errors.append(FieldError(f"map.{name}", f"is no field; the fields are {', '.join(LEAD_FIELDS)}"))
        elif not isinstance(titles, list) or not all(isinstance(title, str) for title in titles):
            errors.append(FieldError(f"map.{name}", "must be a column title, several to join, or null"))
        else:
            mapped[name] = [title for title in titles if title.strip()]
    return mapped
