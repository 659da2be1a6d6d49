"""The queue entrypoint for leads: each submission of another system is a run of its own."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Broker, Message
from leadline_common.clock import Clock
from leadline_common.ids import derived_id, new_id
from leadline_common.semaphore import WeightedSemaphore
from leadline_contracts.envelope import describe
from leadline_contracts.errors import FieldError, NotFound, Permanent
from leadline_contracts.scoring import (
    LEAD_FIELDS,
    Lead,
    LeadsRejected,
    LeadsSubmitted,
    Offer,
    RejectedLead,
    SourceColumn,
)
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.offers import known_offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.prospects.validation import read_lead
from leadline_ingest.replies import named_owner, public_event, reply
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.store import IngestStore

MAX_SUBMISSION_BYTES = 4_194_304
"""Of a submission's body; also of all that are worked on at once, since each takes many times its size."""


class _Sorted(NamedTuple):
    taken: list[Prospect]
    rejected: list[RejectedLead]


class SubmissionHandler(Handler):
    """Takes `leads.submitted.v1`: the same checks as an upload, then a run of its own.

    The owner is the one that the message names: whoever may publish to the broker is trusted to name it.
    Every id is derived from owner, message id and position, so that a repeated message scores nothing twice.
    """

    def __init__(
        self,
        store: IngestStore,
        broker: Broker,
        outbox: Outbox,
        clock: Clock,
        metrics: IngestMetrics,
    ) -> None:
        self._store = store
        self._broker = broker
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._room = WeightedSemaphore(MAX_SUBMISSION_BYTES)

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Store and start each submission; answer to `reply_to`, or publish what was rejected."""
        events = []
        for message in messages:
            try:
                async with self._room.taken(len(message.body)):
                    report = await self._take(message)
            except Permanent as refused:
                await reply(self._broker, message, _refusal(message, str(refused)))
                raise
            await reply(self._broker, message, report)
            self._metrics.count_rejected("queue", len(report.rejected))
            if report.rejected:
                events += public_event(message, report)
        return events

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """Publish why the whole message was refused."""
        return public_event(message, _refusal(message, error))

    async def _take(self, message: Message) -> LeadsRejected:
        submitted = _read(message.body)
        sorted_leads = _sort(submitted, message.id)
        run_id = None
        if sorted_leads.taken:
            run_id = await self._start(submitted, message, sorted_leads.taken)
        return LeadsRejected(
            owner=submitted.owner,
            message_id=message.id,
            run_id=run_id,
            accepted=len(sorted_leads.taken),
            rejected=sorted_leads.rejected,
        )

    async def _start(self, submitted: LeadsSubmitted, message: Message, prospects: list[Prospect]) -> str:
        owner = submitted.owner
        offer = await self._offer(submitted)
        upload = Upload(
            id=derived_id("submission", owner, message.id),
            owner=owner,
            offer_id=offer.id,
            ready=True,
            last_row=prospects[-1].row,
            source="queue",
            columns=_columns(prospects),
        )
        await self._store.open_upload(upload, self._clock())
        await self._store.add_prospects(upload, prospects, self._clock())
        await self._store.commit_upload(upload)
        run = await self._store.add_submission_run(
            RunRequest(
                id=new_id(),
                owner=owner,
                offer=offer,
                model=submitted.model,
                upload_id=upload.id,
                expected=len(prospects),
                trace=message.trace,
            )
        )
        self._outbox.start(run.id)
        return run.id

    async def _offer(self, submitted: LeadsSubmitted) -> Offer:
        if submitted.offer_id is not None:
            try:
                return await known_offer(self._store, submitted.owner, submitted.offer_id)
            except NotFound as error:
                raise Permanent(f"offer_id: {error}") from None
        assert submitted.offer is not None  # noqa: S101 - _read saw to it
        content = submitted.offer.model_dump_json()
        offer = Offer(id=derived_id("offer", submitted.owner, content), **submitted.offer.model_dump())
        await self._store.add_offer(submitted.owner, offer, inline=True)
        return offer


def _read(body: bytes) -> LeadsSubmitted:
    if len(body) > MAX_SUBMISSION_BYTES:
        raise Permanent(
            f"{LeadsSubmitted.TYPE}: the message has {len(body):,} bytes and may have "
            f"{MAX_SUBMISSION_BYTES:,}; send its leads in several messages"
        )
    try:
        submitted = LeadsSubmitted.model_validate_json(body)
    except ValidationError as error:
        raise Permanent(f"{LeadsSubmitted.TYPE}: {describe(error)}") from None
    if (submitted.offer is None) == (submitted.offer_id is None):
        raise Permanent(f"{LeadsSubmitted.TYPE}: give either offer or offer_id")
    return submitted


def _refusal(message: Message, error: str) -> LeadsRejected:
    return LeadsRejected(owner=named_owner(message), message_id=message.id, accepted=0, error=error)


def _sort(submitted: LeadsSubmitted, message_id: str) -> _Sorted:
    sorted_leads = _Sorted([], [])
    for index, value in enumerate(submitted.leads):
        read = read_lead(value)
        if isinstance(read, FieldError):
            sorted_leads.rejected.append(RejectedLead(index=index, field=read.field, reason=read.message))
        else:
            lead = Lead(id=derived_id(submitted.owner, message_id, str(index)), **read.model_dump())
            sorted_leads.taken.append(Prospect(index + 2, lead))
    return sorted_leads


def _columns(prospects: list[Prospect]) -> list[SourceColumn]:
    """The fields of a lead and all that came with any of them, in the order in which they first came."""
    fields = ["external_id", *LEAD_FIELDS]
    titles = dict.fromkeys(title for prospect in prospects for title in prospect.lead.extra or ())
    return [
        *(SourceColumn(title=field, field=field) for field in fields),
        *(SourceColumn(title=title) for title in titles if title not in fields),
    ]
