"""The embedded broker's queues as rows of SQLite: what happens inside one transaction.

A message is held (1) while it is in a consumer's hands. What is still held when the journal is opened was in
the hands of a process that died: that is a crash. After SUSPECT_AFTER of them the message is a suspect, of
which at most one is held, and after DELIVERY_LIMIT it is dead.
A message that is set aside (2) is delivered to nobody until the journal is opened again.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leadline_common.broker import headers
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.topology import DELIVERY_LIMIT, RETRY_DELAYS, SUSPECT_AFTER, Topology

_RETURNED_AT_ONCE = 500
_OF_RETRIES = "queue IN (SELECT value FROM json_each(?))"
_NEXT = "(SELECT coalesce(max(seq), 0) + 1 FROM messages)"

_MESSAGE = "seq, queue, crashes, type, id, body, headers, reply_to, correlation_id"
_FRESH = f"queue = ? AND held = 0 AND crashes < {SUSPECT_AFTER}"
# The first term is that of the index `crashed`; the `+` below keeps SQLite from reading whole queues instead.
_SUSPECT = f"crashes > 0 AND crashes >= {SUSPECT_AFTER}"

# `due` is the Unix time at which a message leaves its retry queue.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    due REAL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    reply_to TEXT,
    correlation_id TEXT,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS ready ON messages (queue, seq) WHERE held = 0;
CREATE INDEX IF NOT EXISTS waiting ON messages (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS crashed ON messages (crashes) WHERE crashes > 0;
"""


class Layout:
    """The queues of a topology, by the names under which their messages lie in the journal.

    What lies under any other name, as a later version may have left it, stays there untouched.
    """

    def __init__(self, topology: Topology) -> None:
        self._dead = {queue.name: queue.dead for queue in topology.queues}
        self._retries = {
            queue.retry(delay): (queue.name, delay) for queue in topology.queues for delay in RETRY_DELAYS
        }
        self.retries = frozenset(self._retries)
        self._names = frozenset([*self._dead, *self._dead.values(), *self._retries])

    @property
    def schema(self) -> str:
        """The statements that open a journal: make it, let go of what was held, dead-letter what kills."""
        work_queues = ", ".join(f"'{name}'" for name in self._dead)
        return f"""{_SCHEMA}
UPDATE messages SET crashes = crashes + (held = 1), held = 0 WHERE held > 0;
UPDATE messages SET
    crashes = 0,
    queue = queue || '.dead',
    headers = json_set(
        json_insert(headers, '$."{headers.ATTEMPT}"', '1'),
        '$."{headers.QUEUE}"', queue,
        '$."{headers.ERROR}"', '{headers.CRASHED}'
    )
WHERE crashes >= {DELIVERY_LIMIT} AND queue IN ({work_queues});
"""  # noqa: S608 - our own names alone

    def __contains__(self, queue: str) -> bool:
        return queue in self._names

    def require(self, queue: str) -> None:
        """Raise Permanent where there is no queue of that name."""
        if queue not in self:
            raise Permanent(f"there is no queue {queue!r}: see leadline_contracts.topology")

    def due(self, queue: str, now: float) -> float | None:
        """Return when a message that goes into a retry queue now leaves it; None for any other queue."""
        return now + self._retries[queue][1] if queue in self._retries else None

    def origin(self, retry_queue: str) -> str:
        """Return the work queue that a retry queue gives its messages back to."""
        return self._retries[retry_queue][0]


def insert(
    connection: sqlite3.Connection, queued: Iterable[tuple[str, Message]], layout: Layout, now: float
) -> None:
    """Add messages to the ends of the queues named."""
    connection.executemany(
        "INSERT INTO messages (queue, due, type, id, reply_to, correlation_id, headers, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                queue,
                layout.due(queue, now),
                m.type,
                m.id,
                m.reply_to,
                m.correlation_id,
                json.dumps(headers.carried(m)),
                m.body,
            )
            for queue, m in queued
        ],
    )


def take(connection: sqlite3.Connection, queue: str, room: int) -> list[tuple[int, Message]]:
    """Hold and return, with their sequence numbers, the first `room` messages of a queue but its suspects."""
    rows = connection.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE {_FRESH} ORDER BY seq LIMIT ?",  # noqa: S608
        (queue, room),
    ).fetchall()
    if rows:
        connection.execute(
            f"UPDATE messages SET held = 1 WHERE {_FRESH} AND seq <= ?",  # noqa: S608
            (queue, rows[-1]["seq"]),
        )
    return [(row["seq"], _message(row)) for row in rows]


class Suspect(NamedTuple):
    """A suspect that is held now."""

    seq: int
    queue: str
    crashes: int
    message: Message


def take_suspect(connection: sqlite3.Connection, queues: Sequence[str], most: int) -> Suspect | None:
    """Hold and return that suspect of these queues which had the fewest crashes, but no more than `most`.

    So what is innocent is done with before the one at fault is tried again.
    """
    row = connection.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE {_SUSPECT} AND crashes <= ? AND held = 0"  # noqa: S608
        f" AND +queue IN ({', '.join('?' * len(queues))}) ORDER BY crashes, seq LIMIT 1",
        (most, *queues),
    ).fetchone()
    if row is None:
        return None
    connection.execute("UPDATE messages SET held = 1 WHERE seq = ?", (row["seq"],))
    return Suspect(row["seq"], row["queue"], row["crashes"], _message(row))


def _message(row: sqlite3.Row) -> Message:
    own, published_at = headers.parted(json.loads(row["headers"]))
    return Message(
        type=row["type"],
        id=row["id"],
        body=row["body"],
        headers=own,
        reply_to=row["reply_to"],
        correlation_id=row["correlation_id"],
        published_at=published_at,
    )


def forget(connection: sqlite3.Connection, seq: int) -> None:
    """Remove a message."""
    connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))


def let_go(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Give messages back to their queues, at the places they had."""
    connection.executemany("UPDATE messages SET held = 0 WHERE seq = ?", [(seq,) for seq in seqs])


def let_all_go(connection: sqlite3.Connection) -> None:
    """Give every held message back."""
    connection.execute("UPDATE messages SET held = 0 WHERE held = 1")


def set_aside(connection: sqlite3.Connection, header: str, values: Sequence[str]) -> None:
    """Set every message aside whose header of that name has one of the values."""
    connection.execute(
        "UPDATE messages SET held = 2 WHERE headers ->> ? IN (SELECT value FROM json_each(?))",
        (f'$."{header}"', json.dumps(values)),
    )


def move(connection: sqlite3.Connection, seq: int, queue: str, marked: Message, due: float | None) -> None:
    """Move a held message, with its new headers, to the end of another queue, which it leaves when due."""
    connection.execute(
        f"UPDATE messages SET seq = {_NEXT}, queue = ?, held = 0, crashes = 0, due = ?, headers = ?"  # noqa: S608
        " WHERE seq = ?",
        (queue, due, json.dumps(headers.carried(marked)), seq),
    )


def return_due(connection: sqlite3.Connection, layout: Layout, now: float) -> tuple[set[str], float | None]:
    """Move messages whose time has come from the retry queues to the ends of their work queues.

    Returns the work queues that got some, and the Unix time at which the next message is due.
    """
    retries = json.dumps([*layout.retries])
    rows = connection.execute(
        f"SELECT seq, queue FROM messages WHERE due <= ? AND {_OF_RETRIES} ORDER BY due, seq LIMIT ?",  # noqa: S608
        (now, retries, _RETURNED_AT_ONCE),
    ).fetchall()
    for row in rows:
        connection.execute(
            f"UPDATE messages SET seq = {_NEXT}, queue = ?, due = NULL WHERE seq = ?",  # noqa: S608
            (layout.origin(row["queue"]), row["seq"]),
        )
    following = connection.execute(
        f"SELECT due FROM messages WHERE due IS NOT NULL AND {_OF_RETRIES} ORDER BY due LIMIT 1",  # noqa: S608
        (retries,),
    ).fetchone()
    return {layout.origin(row["queue"]) for row in rows}, following and following["due"]


def count(connection: sqlite3.Connection, queue: str) -> int:
    """Count the messages of a queue that nobody holds."""
    query = "SELECT count(*) FROM messages WHERE queue = ? AND held = 0"
    return int(connection.execute(query, (queue,)).fetchone()[0])
