"""The events about leads that are done."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Message
from leadline_common.ids import derived_id
from leadline_contracts.scoring import FailedLead, LeadsFailed, ResultScored, ResultsScored
from leadline_results.runs.record import Record, Status


def events_about(done: Iterable[Record], traces: Mapping[str, str | None]) -> list[Message]:
    """Return the events about done records, one message a chunk and kind, each in its run's trace.

    The same records give the same messages, in whatever order they come.
    """
    chunks: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(done, key=lambda record: record.key):
        chunks[record.run_id, record.chunk].append(record)
    messages = []
    for (run_id, chunk), records in chunks.items():
        trace = traces.get(run_id)
        results = [record for record in records if record.status is not Status.CANCELLED]
        if results:
            messages.append(_scored_event(run_id, chunk, results, trace))
        failed = [record for record in records if record.status is not Status.SCORED]
        if failed:
            messages.append(_failed_event(run_id, chunk, failed, trace))
    return messages


def _scored_event(run_id: str, chunk: str, records: list[Record], trace: str | None) -> Message:
    event = ResultsScored(
        owner=records[0].owner,
        run_id=run_id,
        offer_id=records[0].offer_id,
        results=[
            ResultScored(
                lead_id=record.lead_id,
                external_id=record.lead.external_id if record.lead else None,
                intent=record.intent,
                score=record.score,
                rule_score=record.rule_points,
                ai_points=record.ai_points,
                status=record.status,
            )
            for record in records
        ],
    )
    return message_of(event, _event_id(ResultsScored.TYPE, run_id, chunk, records), trace)


def _failed_event(run_id: str, chunk: str, records: list[Record], trace: str | None) -> Message:
    event = LeadsFailed(
        owner=records[0].owner,
        run_id=run_id,
        offer_id=records[0].offer_id,
        model=records[0].model,
        leads=[FailedLead(lead_id=record.lead_id, error=record.error or "no score") for record in records],
    )
    return message_of(event, _event_id(LeadsFailed.TYPE, run_id, chunk, records), trace)


def _event_id(kind: str, run_id: str, chunk: str, records: list[Record]) -> str:
    """The same records give the same id; a chunk whose leads come done in parts has an event for each."""
    states = sorted(f"{record.lead_id}{record.status}" for record in records)
    return derived_id(kind, run_id, chunk, *states)
