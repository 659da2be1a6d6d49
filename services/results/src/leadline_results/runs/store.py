"""The port to what results owns: records (one a lead and run), runs, their AI spend, uploads' columns."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Intent, ModelName, Offer, SourceColumn
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.record import Key, Record, Status
from leadline_results.runs.spend import RunSpend

Layer = Literal["rules", "ai"]


class Query(Wire):
    """Which results a caller asks for, within one owner; None filters nothing.

    Without `run_id` only the latest result of each prospect and offer is meant; with it, those of that run.
    Without `status` every done result is meant; with `pending` the pending records of that run, or of all.
    `min_score` leaves out what has no score.
    """

    owner: str
    offer_id: str | None = None
    run_id: str | None = None
    upload_id: str | None = None
    intent: Intent | None = None
    min_score: int | None = None
    status: Status | None = None


RunStatus = Literal["running", "finished", "cancelled"]


class RunQuery(Wire):
    """Which runs a caller asks for, within one owner; None filters nothing."""

    owner: str
    status: RunStatus | None = None
    offer_id: str | None = None


class Position(NamedTuple):
    """A position in the ranked list: just after the record with this score (-1 for none) and these ids."""

    score: int
    lead_id: str
    run_id: str


class Run(Wire):
    """What results knows of a run. `total` is None until all its chunks are published, or it was cancelled.

    `expected` is how many leads it has at most, where that was known when it was requested.

    `refresh`: the run requests new AI answers where stored ones exist; `trace` is the traceparent of the
    request or message that started it.
    `failed` counts partial and failed leads, `dropped` those that were not asked about since the run was
    cancelled before, at `cancelled_at`. `progress_at` is when a count last changed; `nudges` is how
    often the run was redriven since; `announced`: its end was published.
    """

    run_id: str
    owner: str
    offer_id: str
    model: ModelName
    offer: Offer | None = None
    refresh: bool = False
    trace: str | None = None
    expected: int | None = None
    total: int | None = None
    scored: int = 0
    failed: int = 0
    dropped: int = 0
    started_at: datetime
    progress_at: datetime
    cancelled_at: datetime | None = None
    finished_at: datetime | None = None
    nudges: int = 0
    announced: bool = False

    @property
    def status(self) -> RunStatus:
        """Whether the run has ended, and how."""
        if self.cancelled_at is not None:
            return "cancelled"
        return "running" if self.finished_at is None else "finished"

    @property
    def complete(self) -> bool:
        """Whether every lead of the run is done."""
        return self.total is not None and sum(self.counts) >= self.total

    @property
    def counts(self) -> "Counts":
        """The counts that were stored last."""
        return Counts(self.scored, self.failed, self.dropped)


class Counts(NamedTuple):
    """How many leads of a run are done: fully scored, partial or failed, and cancelled."""

    scored: int
    failed: int
    dropped: int = 0


def position_of(record: Record) -> Position:
    """Return the position just after the record."""
    return Position(-1 if record.score is None else record.score, record.lead_id, record.run_id)


class ResultStore(Protocol):
    """Durable and shared by every replica of the service.

    Writes have been acknowledged by a majority where the store is replicated. Every method raises
    Unavailable where the store does not answer; a write may then have happened or not, and doing it again
    is safe.
    """

    async def insert(self, records: Sequence[Record]) -> set[Key]:
        """Write records that are new, each with revision 1; return the keys that were there already.

        Those are left as they were.
        """

    async def replace(self, records: Sequence[Record]) -> set[Key]:
        """Write each record over the one stored with the same key and the same revision, adding 1 to it.

        Returns the keys where the stored revision was another one, or nothing was stored: they are left as
        they were; load them and merge again. A done record must not be replaced by a pending one.
        """

    async def load(self, keys: Collection[Key]) -> dict[Key, Record]:
        """Return the records there are; a key that is not known is left out."""

    async def settle_latest(self, records: Sequence[Record]) -> None:
        """Leave `latest` on one done record of each (owner, offer, lead) named: that of the newest run.

        Idempotent. Two replicas that settle the same lead at the same time end up with the same one. A record
        that loses the mark gets a new revision, so that no write based on an earlier read restores it.
        """

    async def page(self, query: Query, after: Position | None, limit: int) -> list[Record]:
        """Return up to `limit` records after a position, by score descending (none last), lead id, run id."""

    async def count(self, query: Query) -> int:
        """Return how many records match the query."""

    def stream(self, query: Query) -> AsyncIterator[Record]:
        """Yield all records that match the query in the order of `page`, holding a few hundred at a time."""

    def scorings(self, owner: str, lead_id: str) -> AsyncIterator[Record]:
        """Yield the prospect's records, done or pending, those of the newest run first, a few at a time."""

    async def see_columns(self, told: Sequence[UploadColumns]) -> None:
        """Keep the columns of uploads; those of an upload that is known stay as they are."""

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        """Return the columns of uploads; an upload whose columns are not known is left out."""

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        """Return of the matching records' uploads one for each different list of columns, by upload id.

        None stands for those whose columns are not known, and for records without an upload.
        """

    async def see_run(self, run: Run) -> bool:
        """Make the run known; where it is, only add `total`, `expected`, `offer` and `refresh` if it lacks
        them.

        Returns whether it was not known before.
        """

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""

    async def runs(self, query: RunQuery, before: str | None, limit: int) -> list[Run]:
        """Return up to `limit` runs with ids below `before`, by id descending: the newest first."""

    async def count_runs(self, query: RunQuery) -> int:
        """Return how many runs match the query."""

    async def unfinished_runs(self) -> list[Run]:
        """Return the runs whose end is not marked as published, whether they are finished or not."""

    async def count_run(self, run_id: str) -> Counts:
        """Count the run's done leads from its records."""

    async def save_progress(self, run_id: str, counts: Counts, at: datetime) -> None:
        """Store counts that differ from those stored, with `progress_at`, and set `nudges` to 0.

        A finished run stays as it is.
        """

    async def finish_run(self, run_id: str, counts: Counts, at: datetime) -> bool:
        """Store the final counts and `finished_at`; False, changing nothing, where it is finished."""

    async def cancel_run(self, run_id: str, total: int, at: datetime) -> bool:
        """Store `cancelled_at`, and `total` where there is none; False, changing nothing, where the run is
        finished or cancelled.
        """

    async def mark_announced(self, run_id: str) -> None:
        """Note that the end of a finished run was published."""

    async def mark_redriven(self, run_id: str, nudges: int, at: datetime) -> bool:
        """Raise `nudges` from `nudges - 1` and set `progress_at`; False where another replica was first."""

    async def see_spend(self, spent: Sequence[RunSpend]) -> None:
        """Keep the highest of each figure ever seen, for each run, source and assessor.

        Neither order nor repetition matters, nor which replica writes. No two of `spent` are of the same
        run, source and assessor.
        """

    async def spend(self, *run_ids: str) -> list[RunSpend]:
        """Return what runs have spent, by run, source and assessor; nothing where no model was asked."""

    def missing(self, run_id: str, layer: Layer) -> AsyncIterator[Record]:
        """Yield the run's pending records: those whose lead is known and that lack this layer's part."""

    async def ping(self) -> None:
        """Raise Unavailable unless the store takes writes, or its server answers, within two seconds."""

    async def close(self) -> None:
        """Release the store's connections and files; safe to call twice."""
