"""The port to the workflows of inbound messages."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator

from leadline_common.idempotency.store import IdempotencyStore
from leadline_contracts.envelope import Wire
from leadline_contracts.inbound import Category, Priority, RouteQueue
from leadline_results.workflows.machine import Workflow, WorkflowStatus


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class WorkflowQuery(Wire):
    """Which workflows a caller asks for, within one owner; None filters nothing.

    `since` is the earliest time of receipt, in UTC where it names no zone.
    """

    owner: str
    status: WorkflowStatus | None = None
    category: Category | None = None
    queue: RouteQueue | None = None
    priority: Priority | None = None
    since: Annotated[datetime, AfterValidator(_with_zone)] | None = None

    @property
    def first_id(self) -> str:
        """Text that sorts before the id of every workflow since then, and after all before.

        Ids are UUIDv7, which begin with the time in milliseconds (RFC 9562, 5.7).
        """
        if self.since is None:
            return ""
        digits = f"{max(0, int(self.since.timestamp() * 1000)):012x}"
        return f"{digits[:8]}-{digits[8:]}"


class WorkflowStore(IdempotencyStore, Protocol):
    """Workflows, and the idempotency keys of what is asked of them.

    Durable and shared by every replica of the service.

    Writes have been acknowledged by a majority where the store is replicated. Every method raises
    Unavailable where the store does not answer; a write may then have happened or not, and doing it again
    is safe. A workflow comes back as it was written, its `sweep_at` to the millisecond.
    """

    async def insert(self, workflows: Sequence[Workflow]) -> set[str]:
        """Write workflows that are new, each with revision 1; return the ids that were there already.

        Those are left as they were.
        """

    async def replace(self, workflows: Sequence[Workflow]) -> set[str]:
        """Write each workflow over the stored one with the same id and revision, adding 1 to that.

        Returns the ids where the stored revision was another one, or nothing was stored: they are left as
        they were; load them and apply again.
        """

    async def load(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        """Return the workflows there are by id; an id that is not known is left out."""

    async def due(self, now: datetime, limit: int) -> list[Workflow]:
        """Return up to `limit` workflows whose `sweep_at` has come, the longest overdue first."""

    async def page(self, query: WorkflowQuery, before: str | None, limit: int) -> list[Workflow]:
        """Return up to `limit` workflows with ids below `before`, by id descending: the newest first."""

    async def count(self, query: WorkflowQuery) -> int:
        """Return how many workflows match the query."""

    async def ping(self) -> None:
        """Raise Unavailable unless the store takes writes, or its server answers, within two seconds."""

    async def close(self) -> None:
        """Release the store's connections and files; safe to call twice."""
