"""What tells that two prospects are the same one."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from leadline_contracts.scoring import LeadSpec, field_texts
from leadline_text.visible import visible

_SHARED_MAILBOXES = frozenset(
    {
        *(
            "info",
            "sales",
            "contact",
            "hello",
            "office",
            "mail",
            "admin",
            "support",
            "team",
            "marketing",
            "hr",
        ),
        *(
            "jobs",
            "kontakt",
            "buero",
            "service",
            "post",
            "vertrieb",
            "contacto",
            "contato",
            "ventas",
            "vendas",
        ),
        *("comercial", "bonjour", "accueil", "welcome", "enquiries", "inquiries"),
    }
)
_PROFILE = re.compile(r"linkedin\.com/(in/|pub/|sales/(?:lead|people)/)([^/?#,\s]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"([^\s@<>;,\"]+)@([^\s@<>;,\"]+\.[^\s@<>;,\".]+)")
_SHORTEST_ID = 6
"""A shorter record id, such as the number of a row, may well stand in two files for two people."""


class Identity(NamedTuple):
    """Two numbers of 64 bits, by which prospects of one owner and offer are compared.

    `fields` is that of the six fields without case and white space, None for a prospect without a name, who
    may be anybody; `mark` that of the e-mail address, else the LinkedIn profile, else the record id, None
    without any. Numbers are made by BLAKE2b and do not give their text away.
    """

    fields: int | None
    mark: int | None


def identity_of(scope: str, lead: LeadSpec, marks: Mapping[str, str]) -> Identity:
    """Return the identity of a prospect within `scope`, its owner and offer.

    `marks` are the cells of the columns `email`, `linkedin_url` and `record_id`, as far as there are any.
    """
    fields = None
    if lead.name:
        # No cell holds a NUL, and white space around one says nothing.
        fields = _number(scope, " ".join(visible("\0".join(field_texts(lead))).casefold().split()))
    mark = _mark(marks) if marks else None
    return Identity(fields, None if mark is None else _number(scope, mark))


def _mark(marks: Mapping[str, str]) -> str | None:
    """What marks a person out, as text that is the same however it was written."""
    address = _ADDRESS.search(marks.get("email", ""))
    # A mailbox that several people share is nobody's.
    if address and address[1].casefold() not in _SHARED_MAILBOXES:
        return f"email {address[0].casefold()}"
    profile = _PROFILE.search(marks.get("linkedin_url", ""))
    if profile:
        return f"linkedin {profile[1].casefold()}{profile[2].casefold()}"
    record_id = marks.get("record_id", "").strip()
    return f"id {record_id}" if len(record_id) >= _SHORTEST_ID else None


def _number(scope: str, text: str) -> int:
    digest = blake2b(f"{scope}\x1e{text}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
