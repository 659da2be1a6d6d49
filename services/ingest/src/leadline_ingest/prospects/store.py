"""The port to offers, and to uploads with their prospects."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Lead, Offer, SourceColumn
from leadline_ingest.prospects.identity import Identity
from leadline_ingest.prospects.report import UploadReport


class Prospect(NamedTuple):
    """A lead and the row of its upload it came from (the header is row 1 where nothing stands above it).

    `identity` is what it is compared by, None where it was stored by a version that did not compare.
    """

    row: int
    lead: Lead
    identity: Identity | None = None


class Upload(Wire):
    """A batch of prospects that came together: a file, or one submission from the queue.

    Those of an upload with an `offer_id` are scored against that offer only. It counts for nothing until
    it is `ready`; `last_row` is its highest row number then. `columns` are those it came with, in its order.
    `report` is what its sender was answered, None for a submission and for what an older version stored.
    """

    id: str
    owner: str
    offer_id: str | None = None
    ready: bool = False
    last_row: int = 0
    source: Literal["file", "queue"] = "file"
    columns: list[SourceColumn] = []
    report: UploadReport | None = None


class RejectedCells(NamedTuple):
    """A rejected row as it came; `cells` is None where it could not be cut into cells."""

    row: int
    column: str | None
    reason: str
    cells: tuple[str, ...] | None


class Known(NamedTuple):
    """Where a prospect stands that was there first."""

    upload_id: str
    row: int


class ProspectStore(Protocol):
    """Offers, uploads and their prospects.

    Durable and shared by every replica of the service. Writes have been acknowledged by a majority where the
    store is replicated. Every method raises Unavailable where the store does not answer; a write may then
    have happened or not, and doing it again is safe. Whatever takes an `owner` finds that owner's things
    alone.
    """

    async def add_offer(self, owner: str, offer: Offer, *, inline: bool) -> None:
        """Keep an offer; the same id again changes nothing. An inline one is never the newest."""

    async def offer(self, owner: str, offer_id: str) -> Offer | None:
        """Return an offer, inline or not."""

    async def offers(self, owner: str, before: str | None, limit: int) -> list[Offer]:
        """Return offers that are not inline, the newest first, from below the id `before`."""

    async def newest_offer(self, owner: str) -> Offer | None:
        """Return the offer with the highest id among those that are not inline."""

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        """Start an upload; where it exists, only store the time as its latest activity."""

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        """Add prospects to an upload and store the time as its latest activity.

        Prospects whose lead id exists are left as they are. Raises NotFound where the upload was dropped.
        """

    async def known(self, numbers: Sequence[int]) -> dict[int, Known]:
        """Return which of these numbers are in the identity of a prospect of a ready upload, and where.

        Of several such prospects it is the one that was stored first.
        """

    async def add_rejected(self, upload: Upload, rows: Sequence[RejectedCells]) -> None:
        """Keep rejected rows of an upload; the same row again changes nothing."""

    def rejected(self, upload_id: str) -> AsyncIterator[RejectedCells]:
        """Yield the rejected rows of an upload by their number, in pages, without holding them all."""

    async def commit_upload(self, upload: Upload) -> None:
        """Make an upload ready, with its offer, last row, columns and report: from now on runs find it.

        Raises NotFound where it was dropped.
        """

    async def drop_upload(self, upload_id: str) -> None:
        """Delete an upload that is not ready, its prospects and its rejected rows."""

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        """Return the ids of uploads that are not ready and whose latest activity was before that time."""

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        """Return a ready upload."""

    async def uploads(self, owner: str, before: str | None, limit: int) -> list[Upload]:
        """Return ready uploads that were files, the newest first, from below the id `before`."""

    async def has_prospects(self, owner: str) -> bool:
        """Tell whether the owner has a ready upload that holds a prospect."""
