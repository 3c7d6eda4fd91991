"""An append-only log in which every entry names the one before it by its hash.

Whoever changes, removes or reorders an entry breaks the chain from there on, and
:func:`check_chain` says where. Somebody who may write the file could rebuild the whole chain, or
drop its end. Against that, others keep an :class:`Anchor`, the position and hash of an entry they
have seen; each answer a site gives comes with one. A chain that has grown honestly still contains
every anchor.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers.errors import PrivacyError

_START = "0" * 64
_WAIT_S = 60.0  # for another process that is writing

_TABLES = """
CREATE TABLE log (
    position INTEGER PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, event TEXT NOT NULL,
    content TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE private (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TRIGGER keep BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
CREATE TRIGGER fix BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log only grows'); END;
"""


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes
    ----------
    position
        1, 2, 3, ...
    time
        When it was written, UTC, ISO 8601. For people: nothing is decided by it.
    actor
        Who did it.
    event
        What was done.
    content
        JSON text with the details.
    hash
        SHA-256 (hex) over the hash of the entry before and everything above.
    """

    position: int
    time: str
    actor: str
    event: str
    content: str
    hash: str

    @property
    def details(self) -> dict[str, Any]:
        """Return the content, parsed."""
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed


@dataclass(frozen=True)
class Anchor:
    """What an outsider keeps of the log: that this entry was there.

    Attributes
    ----------
    position, hash
        Of the entry.
    """

    position: int
    hash: str


def chained(before: str, position: int, time: str, actor: str, event: str, content: str) -> str:
    """Return the hash of an entry, given that of the entry before."""
    whole = json.dumps([before, position, time, actor, event, content])
    return hashlib.sha256(whole.encode()).hexdigest()


def check_chain(entries: Sequence[Entry], anchors: Iterable[Anchor] = ()) -> None:
    """Check that no entry was changed, removed or inserted, as far as hashes can tell.

    Anybody who was given the entries can do this; no site is needed.

    Parameters
    ----------
    entries : sequence of Entry
        The whole log, from its first entry.
    anchors : iterable of Anchor
        What was seen earlier.

    Raises
    ------
    PrivacyError
        Naming the first entry that does not fit.
    """
    before = _START
    for position, entry in enumerate(entries, start=1):
        facts = (entry.time, entry.actor, entry.event, entry.content)
        if entry.position != position or entry.hash != chained(before, position, *facts):
            raise PrivacyError(
                f"The log was altered: entry {position} does not follow from those before it. "
                "Stop releasing, and restore the log from a copy that contains every anchor."
            )
        before = entry.hash
    for anchor in anchors:
        known = entries[anchor.position - 1].hash if 1 <= anchor.position <= len(entries) else None
        if known != anchor.hash:
            raise PrivacyError(
                f"The log was rewritten: entry {anchor.position} is not the one that was seen "
                f"earlier ({len(entries)} entries are there now)."
            )


class LogFile:
    """The log in a SQLite file, which serialises writers and survives a kill at any moment.

    Parameters
    ----------
    path
        The file.
    clock
        Returns the time of an entry.
    """

    def __init__(self, path: Path, clock: Callable[[], str] | None = None) -> None:
        self.path = path
        self._clock = clock or _now

    def create(self, private: dict[str, str], actor: str, event: str, content: Any) -> None:
        """Make the file with its first entry, both or neither.

        Raises
        ------
        PrivacyError
            If the file is there already.
        """
        self.path.touch(mode=0o600)
        with self._connected() as connection:
            connection.execute("BEGIN EXCLUSIVE")
            if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise PrivacyError(
                    f"{self.path} exists: open it. A second site over the same table would have a "
                    "second budget."
                )
            for statement in _statements(_TABLES):
                connection.execute(statement)
            connection.executemany("INSERT INTO private VALUES (?, ?)", list(private.items()))
            Transaction(connection, [], self._clock).append(actor, event, content)
            connection.execute("COMMIT")

    def private(self, name: str) -> str:
        """Return one of the values given to :meth:`create`; they are not part of the log.

        Raises
        ------
        PrivacyError
            If there is no log, or it was altered.
        """
        with self.transaction() as transaction:
            row = transaction.connection.execute(
                "SELECT value FROM private WHERE name = ?", (name,)
            ).fetchone()
        return str(row[0])

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Hold the log alone, checked from its first entry; appended entries are kept together.

        Nothing is kept if the block raises, or if the process dies before the end of it. What is
        kept has reached the disk when this returns.

        Raises
        ------
        PrivacyError
            If the file is missing or no log, or its chain is broken.
        """
        if not self.path.exists():
            raise PrivacyError(f"There is no {self.path}; create the site first.")
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            columns = "position, time, actor, event, content, hash"
            rows = connection.execute(f"SELECT {columns} FROM log ORDER BY position").fetchall()
            entries = [Entry(*row) for row in rows]
            if not entries:
                raise PrivacyError(f"{self.path} has no entries: it was emptied or never created.")
            check_chain(entries)
            yield Transaction(connection, entries, self._clock)
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            try:
                # EXTRA: a commit stays even if the power fails right after it
                connection.execute("PRAGMA synchronous = EXTRA")
                yield connection
            finally:
                connection.close()  # rolls back what was not committed
        except sqlite3.Error as error:
            raise PrivacyError(
                f"{self.path} cannot be used as the log of a data site ({error}). Do not start a "
                "new one for the same table: restore it from a backup."
            ) from error


class Transaction:
    """The log while one writer holds it.

    Attributes
    ----------
    connection
        The open connection.
    entries
        All entries, those appended included.
    """

    def __init__(
        self, connection: sqlite3.Connection, entries: list[Entry], clock: Callable[[], str]
    ) -> None:
        self.connection = connection
        self.entries = entries
        self._clock = clock

    def append(self, actor: str, event: str, content: Any) -> Entry:
        """Add one entry."""
        before = self.entries[-1].hash if self.entries else _START
        position = len(self.entries) + 1
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        facts = (self._clock(), actor, event, text)
        entry = Entry(position, *facts, chained(before, position, *facts))
        values = (position, *facts, entry.hash)
        self.connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", values)
        self.entries.append(entry)
        return entry


def _statements(script: str) -> list[str]:
    """Split a script; ``executescript`` would commit the transaction it runs in."""
    statements, current = [], ""
    for line in script.strip().splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
