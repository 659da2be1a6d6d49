"""The rank of a record in a ranked list: one number that both stores keep as `place` and index ascending.

0 is a score of 100 and 100 a score of 0; then come those that are done without a score, then the pending.
Those that were cancelled are below 0, where only a query for them looks.
"""

from leadline_results.runs.record import Record, Status
from leadline_results.runs.store import Position, Query

CANCELLED = -1
_BEST_SCORE = 100
NO_SCORE = 101
PENDING = 102


def rank_of(record: Record) -> int:
    """Return the record's rank."""
    if record.status is Status.CANCELLED:
        return CANCELLED
    if not record.done:
        return PENDING
    return NO_SCORE if record.score is None else _BEST_SCORE - record.score


def ranks_of(query: Query) -> range:
    """Return the ranks that the query's `status`, `intent` and `min_score` allow, perhaps none."""
    if query.status is Status.PENDING:
        ranks = range(PENDING, PENDING + 1)
    elif query.status is Status.FAILED:
        ranks = range(NO_SCORE, NO_SCORE + 1)
    elif query.status is Status.CANCELLED:
        ranks = range(CANCELLED, CANCELLED + (query.min_score is None))
    elif query.status is not None or query.intent is not None:
        ranks = range(NO_SCORE)
    else:
        ranks = range(NO_SCORE + 1)
    if query.min_score is None:
        return ranks
    worst = _BEST_SCORE - max(query.min_score, 0)
    return range(ranks.start, min(ranks.stop, worst + 1))


def rank_at(query: Query, position: Position) -> int:
    """Return a position's rank; with no score it depends on which records are listed."""
    if position.score >= 0:
        return _BEST_SCORE - position.score
    unscored = {Status.PENDING: PENDING, Status.CANCELLED: CANCELLED}
    return unscored.get(query.status, NO_SCORE) if query.status else NO_SCORE
