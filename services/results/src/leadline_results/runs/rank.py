"""Where a record stands in a ranked list, as one number that both stores index in ascending order.

0 is a score of 100 and 100 a score of 0; then come those that are done without a score, then the pending.
"""

from leadline_results.runs.record import Record, Status
from leadline_results.runs.store import Position, Query

_BEST_SCORE = 100
NO_SCORE = 101
PENDING = 102


def place_of(record: Record) -> int:
    """Return the record's place."""
    if not record.done:
        return PENDING
    return NO_SCORE if record.score is None else _BEST_SCORE - record.score


def places_of(query: Query) -> range:
    """Return the places of what can satisfy the query's `status`, `intent` and `min_score`, perhaps none."""
    if query.status is Status.PENDING:
        places = range(PENDING, PENDING + 1)
    elif query.status is Status.FAILED:
        places = range(NO_SCORE, NO_SCORE + 1)
    elif query.status is not None or query.intent is not None:
        places = range(NO_SCORE)
    else:
        places = range(NO_SCORE + 1)
    if query.min_score is None:
        return places
    worst = _BEST_SCORE - max(query.min_score, 0)
    return range(places.start, min(places.stop, worst + 1))


def place_at(query: Query, position: Position) -> int:
    """Return the place a position names; with no score it depends on whether pending ones are listed."""
    if position.score >= 0:
        return _BEST_SCORE - position.score
    return PENDING if query.status is Status.PENDING else NO_SCORE
