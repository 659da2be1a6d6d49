"""The port to offers, and to uploads with their prospects."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Lead, Offer


class Prospect(NamedTuple):
    """A lead and the row of its upload it came from (the header is row 1)."""

    row: int
    lead: Lead


class Upload(Wire):
    """A batch of prospects that came together: a file, or one submission from the queue.

    The prospects of an upload with an `offer_id` are scored against that offer only. An upload is used only
    once it is `ready`; `last_row` is its highest row number then.
    """

    id: str
    owner: str
    offer_id: str | None = None
    ready: bool = False
    last_row: int = 0


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

    async def newest_offer(self, owner: str) -> Offer | None:
        """Return the offer with the highest id among those that are not inline."""

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        """Start an upload; where it exists, only store the time as its latest activity."""

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        """Add prospects to an upload and store the time as its latest activity.

        Prospects whose lead id exists are left as they are. Raises NotFound where the upload was dropped.
        """

    async def commit_upload(self, upload: Upload) -> None:
        """Make an upload ready, with its offer and its last row: from now on runs find it.

        Raises NotFound where it was dropped.
        """

    async def drop_upload(self, upload_id: str) -> None:
        """Delete an upload that is not ready, and its prospects."""

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        """Return the ids of uploads that are not ready and whose latest activity was before that time."""

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        """Return a ready upload."""

    async def has_prospects(self, owner: str) -> bool:
        """Tell whether the owner has a ready upload that holds a prospect."""
