"""Records as MongoDB documents, built by hand: a quarter of `model_dump`'s time on the busiest path."""

from bson import ObjectId

from leadline_common.storage.mongo import Document
from leadline_results.runs.rank import rank_of
from leadline_results.runs.record import Key, Record

_FIXED = frozenset({"_id", "owner", "run_id", "lead_id", "offer_id", "model", "chunk"})
_RESULT = frozenset({"status", "intent", "score", "ai_points", "scored_at", "latest", "place"})


def document_id(key: Key) -> str:
    """Return the `_id` of the record with this key."""
    return f"{key.run_id}:{key.lead_id}"


def to_document(record: Record, revision: int) -> Document:
    """Return the record as a document: its fields, `_id`, and its rank as `place`.

    A lead's `extra` is a list of pairs, since a title may hold dots and dollars, which field names had better
    not.
    """
    lead, rules = record.lead, record.rules
    return {
        **vars(record),
        "_id": document_id(record.key),
        "lead": lead and {**vars(lead), "extra": lead.extra and [[*one] for one in lead.extra.items()]},
        "rules": rules and {**vars(rules), "factors": [vars(factor) for factor in rules.factors]},
        "ai": record.ai and vars(record.ai),
        "status": record.status.value,
        "place": rank_of(record),
        "revision": revision,
    }


def to_changes(record: Record, writer: ObjectId) -> Document:
    """Return what to `$set` in the stored document, marked with who wrote it.

    A done record never becomes pending again, so a pending one has no result fields to write; leaving them
    out spares the server an update of every index on them.
    """
    unchanged = _FIXED if record.done else _FIXED | _RESULT
    document = to_document(record, record.revision + 1)
    return {name: value for name, value in document.items() if name not in unchanged} | {"writer": writer}


def to_record(document: Document) -> Record:
    """Read a document back, also one of a version that kept no `extra`, or kept it as an object."""
    lead = document["lead"]
    if lead and isinstance(lead.get("extra"), list):
        lead["extra"] = dict(lead["extra"])
    return Record.model_validate(document)
