"""Accepted leads and partial scores in, stored results and the events about them out."""

from collections.abc import Iterable, Sequence

from leadline_common.broker.chunks import bisect_chunk
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_common.clock import Clock
from leadline_contracts.errors import Permanent, Transient
from leadline_contracts.scoring import RunCancelled, RunPublished, RunStarted
from leadline_results.runs.chunk_join import ChunkJoin
from leadline_results.runs.columns import columns_of
from leadline_results.runs.events import events_about
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.record import PARTS, Key, PartMessage, Parts, Record, conclude, gather, merge
from leadline_results.runs.spend import spend_of
from leadline_results.runs.store import ResultStore
from leadline_results.runs.tracker import Tracker

_UPLOADS_REMEMBERED = 10_000
"""Uploads whose columns are not written again with each of their chunks."""
_ROUNDS = 20
"""How often a batch is merged again after losing a race before it is put back."""


class MergeHandler(Handler):
    """Merges a batch in memory first, so that a lead whose parts arrive together costs one insert."""

    def __init__(self, store: ResultStore, tracker: Tracker, clock: Clock, metrics: ResultMetrics) -> None:
        self._store = store
        self._tracker = tracker
        self._clock = clock
        self._metrics = metrics
        self._uploads: dict[str, None] = {}
        self.chunk_join = ChunkJoin()

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Merge the batch into the store and return the events about every lead that is done by it.

        A redelivered message changes nothing in the store and returns the same events again.
        """
        parts = [_decode(message) for message in messages]
        if spent := spend_of(parts):
            # Before its leads can be done, so that whoever sees a run finished sees all it has taken.
            await self._store.see_spend(spent)
        await self._keep_columns(parts)
        done = [record for record in await self._store_parts(gather(parts)) if record.done]
        await self._store.settle_latest(done)
        self._tracker.schedule({part.run_id for part in parts})
        self.chunk_join.note_handled(messages)
        traces = {part.run_id: message.trace for part, message in zip(parts, messages, strict=True)}
        return events_about(done, traces)

    def bisect(self, message: Message) -> list[Message]:
        """Halve a chunk of leads, so that one that cannot be stored ends up alone; scores stay whole."""
        return bisect_chunk(message)

    async def _keep_columns(self, parts: Sequence[PartMessage]) -> None:
        """Store the columns of uploads, before their records, so that whoever finds one has its columns."""
        if told := columns_of(parts, self._uploads):
            await self._store.see_columns(told)
            self._uploads |= dict.fromkeys(one.upload_id for one in told)
            while len(self._uploads) > _UPLOADS_REMEMBERED:
                del self._uploads[next(iter(self._uploads))]

    async def _store_parts(self, arrived: dict[Key, Parts]) -> list[Record]:
        """Merge the parts into the stored records; return every record concerned as it is now."""
        fresh = [key for key, record in arrived.items() if record.lead is not None]
        known: dict[Key, Record] = {}
        wanted: set[Key] = arrived.keys() - set(fresh)
        standing: dict[Key, Record] = {}
        for _ in range(_ROUNDS):
            known = await self._store.load(wanted) if wanted else {}
            open_keys = arrived.keys() - standing.keys()
            merged = {key: self._merged(known.get(key), arrived[key]) for key in open_keys}
            lost = await self._write(known, merged)
            written = {key: record for key, record in merged.items() if key not in lost}
            self._count_done(known, written.values())
            standing |= written
            if not lost:
                return list(standing.values())
            wanted = lost
        raise Transient(f"{len(lost)} records kept changing under this batch")

    def _count_done(self, known: dict[Key, Record], written: Iterable[Record]) -> None:
        before = {key for key, record in known.items() if record.done}
        self._metrics.count_done([one for one in written if one.done and one.key not in before])

    def _merged(self, known: Record | None, arrived: Parts) -> Record:
        merged = merge(known, arrived)
        return known if merged is known and known is not None else conclude(merged, self._clock())

    async def _write(self, known: dict[Key, Record], merged: dict[Key, Record]) -> set[Key]:
        new = [record for key, record in merged.items() if key not in known]
        changed = [record for key, record in merged.items() if key in known and record is not known[key]]
        lost = await self._store.insert(new) if new else set()
        return lost | (await self._store.replace(changed) if changed else set())


class RunsHandler(Handler):
    """Takes in events about runs from a queue of their own, so that no queue of leads delays them."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Register each event's run with the tracker, or cancel it."""
        for message in messages:
            if message.type == RunCancelled.TYPE:
                await self._tracker.cancel(RunCancelled.decode(message.body), message.trace)
                continue
            kind = RunStarted if message.type == RunStarted.TYPE else RunPublished
            await self._tracker.register(kind.decode(message.body), message.trace)
        return []


def _decode(message: Message) -> PartMessage:
    kind = PARTS.get(message.type)
    if kind is None:
        raise Permanent(f"results does not know the type {message.type}")
    return kind.decode(message.body)
