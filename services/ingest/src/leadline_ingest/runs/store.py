"""The port to run requests, the leases to publish them, and their claims on prospects."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import ModelName, Offer
from leadline_ingest.prospects.store import Prospect, Upload

_PAGE_ROWS = 1_000
_PAGE_BYTES = 1_048_576


def page_is_full(prospects: int, size: int) -> bool:
    """Return whether a page with so many claimed prospects, or so many bytes of text, is to end."""
    return prospects >= _PAGE_ROWS or size >= _PAGE_BYTES


class RunState(StrEnum):
    """State of a run request: its chunks (or its cancellation) are being published, are all published, all
    its leads are done.
    """

    PUBLISHING = "publishing"
    PUBLISHED = "published"
    FINISHED = "finished"


class Cursor(NamedTuple):
    """A run's position in the outbox: everything up to this row of this upload is in the broker."""

    upload_id: str
    row: int


class RunRequest(Wire):
    """A request to score: every open prospect against one offer, or those of one upload only.

    A `refresh` run also scores again what is held by runs that were finished when it was stored.
    A `foreground` run belongs to the command that started it. Nobody else was promised that it finishes, so
    later processes leave it alone unless they are asked to resume it.
    `trace` is the trace context of the request or message that started it, None where that had none.
    `expected` is how many prospects it has at most, where that is known before they are claimed.
    `cancelled`: nothing more of it is to be published but its cancellation; of a finished run, that it was
    cancelled before its end. `queued` counts the prospects this run claimed and published so far; `scored`
    and `failed` are the counts that results last published.
    """

    id: str
    owner: str
    offer: Offer
    model: ModelName
    upload_id: str | None = None
    refresh: bool = False
    foreground: bool = False
    trace: str | None = None
    expected: int | None = None
    state: RunState = RunState.PUBLISHING
    cancelled: bool = False
    queued: int = 0
    cursor: Cursor | None = None
    scored: int = 0
    failed: int = 0

    @property
    def claim_key(self) -> str:
        """The key of the run's claims: a prospect is scored once for each offer and scoring model."""
        return claim_key(self.offer.id, self.model)


def claim_key(offer_id: str, model: ModelName) -> str:
    """Return the key under which prospects are claimed for an offer and a scoring model."""
    return f"{offer_id}|{model}"


class Lease(NamedTuple):
    """The right to publish a run until the lease ends; `token` grows by one with each holder."""

    run: RunRequest
    token: int


class RunStore(Protocol):
    """Run requests, their leases, and the claims on prospects.

    Durable and shared by every replica of the service. Writes have been acknowledged by a majority where the
    store is replicated. Every method raises Unavailable where the store does not answer; a write may then
    have happened or not, and doing it again is safe. Whatever takes an `owner` finds that owner's things
    alone.
    """

    async def add_run(self, run: RunRequest) -> None:
        """Store a run request; the same id again changes nothing."""

    async def add_submission_run(self, run: RunRequest) -> RunRequest:
        """Store the one run request of a queue submission, whose `upload_id` is set, and return it.

        Where this upload has such a run already, that one is returned and nothing changes, whichever
        replica calls and however often.
        """

    async def run(self, owner: str, run_id: str) -> RunRequest | None:
        """Return a run request."""

    async def cancel(self, owner: str, run_id: str) -> RunRequest | None:
        """Have a run that is not finished cancelled, and return it as it is then; None where there is none.

        From now on it is `publishing` until its cancellation is published. Doing it again changes nothing.
        """

    async def lease_run(self, run_id: str, now: datetime, until: datetime) -> Lease | None:
        """Lease the right to publish a run; None where a lease holds or nothing is left to publish."""

    async def publishable_runs(self, now: datetime) -> list[str]:
        """Return the ids of runs that are still to be published and have no lease at that time."""

    async def next_upload(self, run: RunRequest, after: str | None) -> Upload | None:
        """Return the ready upload with the lowest id above `after` where the run may find open prospects.

        That is the run's own upload where it names one, else any of the owner's that is for this offer or
        for none; uploads covered for the run's claim key are passed over, though not by a refresh run.
        """

    def claim(
        self, run: RunRequest, upload: Upload, first_row: int, last_row: int
    ) -> AsyncIterator[list[Prospect]]:
        """Claim the open prospects in these rows for the run; yield all it holds there, by row, in pages.

        A page ends where `page_is_full` says so, and none is empty. Between two pages nothing is held in
        memory. The same prospects make the same pages.

        A prospect is held by at most one run for a claim key, until it is released. Doing it again yields
        the same prospects and, where some were released, takes those that are open by then.

        A refresh run, which must be stored, also takes over what is held by runs whose end was noted before
        it was stored. All others keep what they hold, however late the refresh run claims it: what was
        under way when the refresh was requested is new enough, and two refreshes at once do not pay twice.
        """

    async def cover(self, run: RunRequest, upload_id: str) -> None:
        """Mark the upload as without open prospects for the run's claim key, if it has none.

        Correct also when prospects are released at the same time.
        """

    async def advance(self, lease: Lease, cursor: Cursor, queued: int, until: datetime) -> bool:
        """Store the outbox's position and extend its lease; False, changing nothing, where it was lost."""

    async def finish_publishing(self, lease: Lease) -> bool:
        """Note that every chunk, or the cancellation, is published, and end the lease.

        False, changing nothing, where the lease was lost, or the run was cancelled since the lease was taken.
        """

    async def note_progress(
        self, run_id: str, scored: int, failed: int, *, finished: bool, cancelled: bool = False
    ) -> None:
        """Store a run's counts as results published them, and of its end whether it was cancelled before.

        A finished run stays so, with its final counts.
        """

    async def release_rows(self, run: RunRequest, upload_id: str, first_row: int, last_row: int) -> None:
        """Release the run's claims in these rows. Idempotent."""

    async def release(self, run_id: str, claim_key: str, lead_ids: Sequence[str]) -> None:
        """Release claims that this run holds, so that a later run claims those prospects again.

        Idempotent; claims that another run has by now are not changed.
        """
