"""The SQLite schema of results, and queries that each read from one of its indexes alone."""

from leadline_common.storage.sqlite import Column
from leadline_results.runs.rank import rank_at, ranks_of
from leadline_results.runs.record import Status
from leadline_results.runs.store import Position, Query, RunQuery

Values = dict[str, str | int]

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    run_id TEXT NOT NULL,
    lead_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    offer_id TEXT NOT NULL,
    upload_id TEXT,
    status TEXT NOT NULL,
    intent TEXT,
    place INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, lead_id)
);
-- Ranked lists over all runs; every filter is in the key, so that no record is read needlessly.
CREATE INDEX IF NOT EXISTS ranked
    ON records (owner, place, lead_id, run_id, offer_id, upload_id, intent, status) WHERE latest;
-- One run: its ranked list and its counts.
CREATE INDEX IF NOT EXISTS of_run ON records (run_id, place, lead_id, owner, status, intent);
-- The pending records of all runs; its size is that of the work under way.
CREATE INDEX IF NOT EXISTS waiting ON records (owner, place, lead_id, run_id) WHERE status = 'pending';
-- The other results of a prospect, to settle which is the latest.
CREATE INDEX IF NOT EXISTS of_lead ON records (lead_id);

CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    offer_id TEXT NOT NULL,
    model TEXT NOT NULL,
    offer TEXT,
    refresh INTEGER NOT NULL,
    total INTEGER,
    scored INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    progress_at TEXT NOT NULL,
    finished_at TEXT,
    nudges INTEGER NOT NULL,
    announced INTEGER NOT NULL,
    trace TEXT,
    expected INTEGER,
    dropped INTEGER NOT NULL DEFAULT 0,
    cancelled_at TEXT
);
CREATE INDEX IF NOT EXISTS followed ON runs (run_id) WHERE NOT announced;
-- An owner's runs by time.
CREATE INDEX IF NOT EXISTS runs_of_owner ON runs (owner, run_id);

CREATE TABLE IF NOT EXISTS run_spend (
    run_id TEXT NOT NULL,
    source TEXT NOT NULL,
    assessor TEXT NOT NULL,
    owner TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed_calls INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    PRIMARY KEY (run_id, source, assessor)
) WITHOUT ROWID;

-- `columns` is a JSON list of {title, field}; `layout` is the same for the same columns.
CREATE TABLE IF NOT EXISTS upload_columns (
    upload_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    layout TEXT NOT NULL,
    columns TEXT NOT NULL
);
"""

ADDED = (
    Column("runs", "trace", "TEXT"),
    Column("runs", "expected", "INTEGER"),
    Column("runs", "dropped", "INTEGER NOT NULL DEFAULT 0"),
    Column("runs", "cancelled_at", "TEXT"),
)

INSERT = """
INSERT INTO records
VALUES (:run_id, :lead_id, :owner, :offer_id, :upload_id, :status, :intent, :place, :latest, :revision, :body)
ON CONFLICT DO NOTHING
"""
REPLACE = """
UPDATE records
SET upload_id = :upload_id, status = :status, intent = :intent, place = :place, latest = :latest,
    revision = :revision, body = :body
WHERE run_id = :run_id AND lead_id = :lead_id AND revision = :revision - 1
"""
LOAD = """
SELECT body FROM records
WHERE (run_id, lead_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
"""
SETTLE = """
UPDATE records AS older
SET latest = 0, revision = revision + 1,
    body = json_set(body, '$.latest', json('false'), '$.revision', revision + 1)
WHERE latest AND lead_id IN (SELECT value FROM json_each(?)) AND EXISTS (
    SELECT 1 FROM records AS newer
    WHERE newer.lead_id = older.lead_id AND newer.owner = older.owner AND newer.offer_id = older.offer_id
        AND newer.latest AND newer.run_id > older.run_id
)
"""
COUNT_RUN = """
SELECT coalesce(sum(status = 'scored'), 0) AS scored, coalesce(sum(status = 'cancelled'), 0) AS dropped,
    coalesce(sum(status NOT IN ('scored', 'cancelled')), 0) AS failed
FROM records INDEXED BY of_run WHERE run_id = ? AND place <= ?
"""
SEE_RUN = """
INSERT INTO runs
VALUES (:run_id, :owner, :offer_id, :model, :offer, :refresh, :total, :scored, :failed, :started_at,
    :progress_at, :finished_at, :nudges, :announced, :trace, :expected, :dropped, :cancelled_at)
ON CONFLICT DO UPDATE SET total = coalesce(total, excluded.total), offer = coalesce(offer, excluded.offer),
    expected = coalesce(expected, excluded.expected), refresh = max(refresh, excluded.refresh)
"""
SAVE_PROGRESS = """
UPDATE runs SET scored = :scored, failed = :failed, dropped = :dropped, progress_at = :at, nudges = 0
WHERE run_id = :run_id AND finished_at IS NULL
    AND (scored <> :scored OR failed <> :failed OR dropped <> :dropped)
"""
FINISH_RUN = """
UPDATE runs SET scored = :scored, failed = :failed, dropped = :dropped, finished_at = :at
WHERE run_id = :run_id AND finished_at IS NULL
"""
CANCEL_RUN = """
UPDATE runs SET cancelled_at = :at, total = coalesce(total, :total)
WHERE run_id = :run_id AND finished_at IS NULL AND cancelled_at IS NULL
"""
MARK_REDRIVEN = """
UPDATE runs SET nudges = :nudges, progress_at = :at WHERE run_id = :run_id AND nudges = :nudges - 1
"""
SEE_SPEND = """
INSERT INTO run_spend
VALUES (:run_id, :source, :assessor, :owner, :calls, :failed_calls, :cached, :input_tokens, :output_tokens,
    :cache_read_tokens, :cache_write_tokens, :nano_usd)
ON CONFLICT DO UPDATE SET
    calls = max(calls, excluded.calls),
    failed_calls = max(failed_calls, excluded.failed_calls),
    cached = max(cached, excluded.cached),
    input_tokens = max(input_tokens, excluded.input_tokens),
    output_tokens = max(output_tokens, excluded.output_tokens),
    cache_read_tokens = max(cache_read_tokens, excluded.cache_read_tokens),
    cache_write_tokens = max(cache_write_tokens, excluded.cache_write_tokens),
    nano_usd = max(nano_usd, excluded.nano_usd)
"""
SPEND = """
SELECT * FROM run_spend WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, source, assessor
"""
SCORINGS = """
SELECT body FROM records INDEXED BY of_lead
WHERE lead_id = :lead_id AND owner = :owner AND (:before IS NULL OR run_id < :before)
ORDER BY run_id DESC LIMIT :limit
"""

SEE_COLUMNS = """
INSERT INTO upload_columns VALUES (:upload_id, :owner, :layout, :columns) ON CONFLICT DO NOTHING
"""
COLUMNS = "SELECT * FROM upload_columns WHERE upload_id IN (SELECT value FROM json_each(?))"
_UPLOADS_BY_COLUMNS = """
SELECT min(upload_id) AS upload_id, layout FROM (SELECT DISTINCT upload_id {source})
LEFT JOIN upload_columns USING (upload_id) GROUP BY layout ORDER BY 1
"""

_WAITING = """
SELECT body FROM records INDEXED BY of_run
WHERE run_id = :run_id AND place = :place AND lead_id > :after AND body ->> 'lead' IS NOT NULL AND {lacking}
ORDER BY lead_id LIMIT :limit
"""
MISSING = {
    "rules": _WAITING.format(lacking="body ->> 'rules' IS NULL"),
    "ai": _WAITING.format(lacking="body ->> 'ai' IS NULL"),
}


def from_where(query: Query, after: Position | None = None) -> tuple[str, Values]:
    """Return `FROM … WHERE …` for the query's records after the position, and its values."""
    ranks = ranks_of(query)
    values: Values = query.model_dump(mode="json", exclude_none=True, exclude={"min_score"})
    conditions = [f"{name} = :{name}" for name in values]
    if query.run_id is not None:
        index = "of_run"
    elif query.status is Status.PENDING:
        index = "waiting"
        conditions.append("status = 'pending'")  # in so many words, or the partial index does not apply
    else:
        index = "ranked"
        conditions.append("latest")
    conditions.append("place < :end")
    values["end"] = ranks.stop
    # One lower bound alone: of two, SQLite may seek by the wrong one and walk through every tie.
    if after is None or rank_at(query, after) < ranks.start:
        conditions.append("place >= :first")
        values["first"] = ranks.start
    else:
        conditions.append("(place, lead_id, run_id) > (:at, :after_lead, :after_run)")
        values |= {"at": rank_at(query, after), "after_lead": after.lead_id, "after_run": after.run_id}
    return f"FROM records INDEXED BY {index} WHERE {' AND '.join(conditions)}", values


def uploads_by_columns(query: Query) -> tuple[str, Values]:
    """Return the statement for an upload of each layout among the query's records, and its values."""
    source, values = from_where(query)
    return _UPLOADS_BY_COLUMNS.format(source=source), values


def runs_from_where(query: RunQuery, before: str | None = None) -> tuple[str, Values]:
    """Return `FROM … WHERE …` for the query's runs below an id, and its values."""
    values: Values = query.model_dump(exclude_none=True, exclude={"status"})
    conditions = [f"{name} = :{name}" for name in values]
    if query.status is not None:
        conditions.append(f"cancelled_at IS {'NOT NULL' if query.status == 'cancelled' else 'NULL'}")
    if query.status in {"running", "finished"}:
        conditions.append(f"finished_at IS {'NULL' if query.status == 'running' else 'NOT NULL'}")
    if before is not None:
        conditions.append("run_id < :before")
        values["before"] = before
    return f"FROM runs INDEXED BY runs_of_owner WHERE {' AND '.join(conditions)}", values


def ranked(query: Query, after: Position | None, limit: int) -> tuple[str, Values]:
    """Return the statement for a page of the query's records, and its values."""
    source, values = from_where(query, after)
    return f"SELECT body {source} ORDER BY place, lead_id, run_id LIMIT :limit", {**values, "limit": limit}
