"""A data site: it keeps a table, shows a mock, and answers approved requests with noise.

The log is the site's only memory. Requests, decisions, answers and what they cost are entries of
it, and the state of the site is what follows from reading it from the start, so the budget cannot
be changed without breaking the chain.

An answer and its charge are *one* entry, written in one transaction before the answer leaves. If
the process dies before the commit, nothing was charged and nobody saw the noise; if it dies after,
the charge stands and asking again returns the recorded answer. The same question at the same
epsilon is never answered with fresh noise, which averaging would wear off; at another epsilon it is
another question, and is charged.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_whole
from helpers.privacy.accounting import Method
from helpers.privacy.data_site import noise, queries
from helpers.privacy.data_site.answering import charge_for, exact, margins, noisy_answer
from helpers.privacy.data_site.audit_log import Anchor, Entry, LogFile, check_chain
from helpers.privacy.data_site.queries import Query
from helpers.privacy.data_site.records import Assessment, Release, Request, State, Status, read
from helpers.privacy.data_site.records import release as recorded_release
from helpers.privacy.data_site.schema import Schema, Table
from helpers.privacy.ledger import Charge, PrivacyLedger

_MOST_TEXT = 500


class DataSite:
    """A table behind a desk. Use :meth:`create` once and :meth:`open` afterwards.

    The object holds the table: it is the *owner's*, and runs on the owner's machine. Give
    researchers :meth:`researcher`, which offers them their side and no more, through whatever
    authenticated channel there is. Within one Python process nothing is hidden from anybody.
    """

    def __init__(self, log: LogFile, table: Table, randbelow: noise.RandBelow) -> None:
        self._log, self._table, self._randbelow = log, table, randbelow

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        table: Mapping[str, np.ndarray],
        schema: Schema,
        epsilon: float,
        delta: float,
        *,
        owner: str = "owner",
        method: Method = "rdp",
        mock_rows: int = 100,
        mock_seed: int = 0,
        randbelow: noise.RandBelow = secrets.randbelow,
        clock: Callable[[], str] | None = None,
    ) -> DataSite:
        """Start a site: fix its schema and its budget for good.

        Parameters
        ----------
        path : str or path
            File of the log, to be made; only its owner may read it.
        table : mapping of str to numpy.ndarray
            One array a column, one row a person. Not stored: it stays where it is.
        schema : Schema
            Public description of the table.
        epsilon, delta : float
            Budget for everything that will ever be released about this table.
        owner : str
            Who answers for it.
        method : {"rdp", "pld"}
            Accountant; on questions that depend on earlier answers see
            :class:`~helpers.privacy.ledger.PrivacyLedger`.
        mock_rows, mock_seed : int
            Size and seed of the mock.
        randbelow : callable
            Randomness of the noise. Anything but :func:`secrets.randbelow` can be predicted, and
            noise that can be predicted protects nobody: replace it in tests only.
        clock : callable, optional
            Time of the log's entries.

        Returns
        -------
        DataSite
            Ready for requests.

        Raises
        ------
        PrivacyError
            If a setting is out of range, the table does not fit the schema, or there is a file.
        """
        checked = schema.checked(table)
        PrivacyLedger(epsilon, delta, method)
        require_whole("mock_rows", mock_rows, at_least=1)
        salt = secrets.token_hex(16)  # a plain hash would confirm a guess at a small table
        log = LogFile(Path(path), clock)
        content = {
            "schema": schema.to_json(),
            "epsilon": float(epsilon),
            "delta": float(delta),
            "method": method,
            "mock_rows": mock_rows,
            "mock_seed": mock_seed,
        }
        secret = {"salt": salt, "fingerprint": _fingerprint(checked, salt)}
        log.create(secret, owner, "created", content)
        return cls(log, checked, randbelow)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        table: Mapping[str, np.ndarray],
        *,
        randbelow: noise.RandBelow = secrets.randbelow,
        clock: Callable[[], str] | None = None,
    ) -> DataSite:
        """Go on with a site, after a restart or a crash, over the same table.

        Parameters
        ----------
        path, table, randbelow, clock
            As for :meth:`create`.

        Returns
        -------
        DataSite
            With every request, answer and charge.

        Raises
        ------
        PrivacyError
            If the log is missing or altered, or the table is not the one the site was made for.
        """
        log = LogFile(Path(path), clock)
        with log.transaction() as held:
            state = read(held.entries)
        checked = state.schema.checked(table)
        if _fingerprint(checked, log.private("salt")) != log.private("fingerprint"):
            raise PrivacyError(
                f"The table is not the one that {path} was created for. Another version of it "
                "holds the same people and must share the budget; create a new site only for "
                "other people."
            )
        return cls(log, checked, randbelow)

    @property
    def schema(self) -> Schema:
        """The public description of the table."""
        return self._state().schema

    @property
    def mock(self) -> Table:
        """Invented rows with the same columns."""
        state = self._state()
        return state.schema.mock(state.mock_rows, state.mock_seed)

    @property
    def spent(self) -> float:
        """Epsilon of all answers together."""
        return self._state().ledger().spent

    @property
    def budget(self) -> float:
        """Epsilon that all answers together may reach."""
        return self._state().epsilon

    @property
    def requests(self) -> list[Request]:
        """Every request, in the order of asking."""
        return list(self._state().requests.values())

    def log(self) -> list[Entry]:
        """Return every entry of the log. Its content is public once its answers are."""
        with self._log.transaction() as held:
            return list(held.entries)

    def check_log(self, anchors: Sequence[Anchor] = ()) -> None:
        """Raise PrivacyError unless the log is whole and contains every anchor."""
        check_chain(self.log(), anchors)

    def researcher(self, name: str) -> Researcher:
        """Return the side of the desk that a researcher sees.

        Raises
        ------
        PrivacyError
            If the name is empty or longer than 100 characters.
        """
        return Researcher(self, _name("researcher", name))

    def preview(self, query: Query, epsilon: float) -> Release:
        """Answer on the mock, with noise as it would be; costs nothing and means nothing."""
        state = self._state()
        resolved = query.resolved(state.schema)
        mock = state.schema.mock(state.mock_rows, state.mock_seed)
        answer, parts = noisy_answer(resolved, mock, state.schema, exact(epsilon), self._randbelow)
        return Release(answer, parts, float(epsilon), Anchor(0, ""))

    def submit(self, researcher: str, query: Query, epsilon: float, purpose: str) -> int:
        """Enter a request and return its number.

        Raises
        ------
        PrivacyError
            If the query does not fit the schema, or epsilon is more than the whole budget.
        """
        _name("researcher", researcher)
        if not isinstance(purpose, str) or not 0 < len(purpose.strip()) <= _MOST_TEXT:
            raise PrivacyError(
                f"purpose must say in 1 to {_MOST_TEXT} characters what this is for."
            )
        if type(query) not in queries.KINDS.values():
            raise PrivacyError(f"{query!r} is no query; use one of {', '.join(queries.KINDS)}.")
        exact(epsilon)
        with self._log.transaction() as held:
            state = read(held.entries)
            if epsilon > state.epsilon:
                raise PrivacyError(
                    f"epsilon={epsilon!r} is more than the whole budget of {state.epsilon:g}."
                )
            number = len(state.requests) + 1
            content = {
                "request": number,
                "query": query.resolved(state.schema).to_json(),
                "epsilon": float(epsilon),
                "purpose": purpose,
            }
            held.append(researcher, "asked", content)
        return number

    def assess(self, number: int) -> Assessment:
        """Return what a reviewer should know of a request; changes nothing.

        Raises
        ------
        PrivacyError
            If there is no such request.
        """
        state = self._state()
        request = state.request(number)
        spent = state.ledger().spent
        recorded = request.question in state.releases
        charge = charge_for(request.query, state.schema, request.epsilon)
        after = spent if recorded else state.spent_with(charge)
        parts = request.query.parts(self._table, state.schema)
        reach = margins(parts, request.epsilon)
        return Assessment(spent, after, state.epsilon, recorded, reach)

    def approve(self, number: int, reviewer: str, reason: str = "") -> None:
        """Allow a pending request to be answered, as long as the budget lasts.

        Raises
        ------
        PrivacyError
            If there is no such request, it is not pending, or the reviewer made it.
        """
        self._decide(number, reviewer, "approved", reason)

    def deny(self, number: int, reviewer: str, reason: str) -> None:
        """Refuse a pending request, and say why.

        Raises
        ------
        PrivacyError
            As for :meth:`approve`, and if no reason is given.
        """
        if not reason.strip():
            raise PrivacyError("reason is empty: the researcher must learn why it was denied.")
        self._decide(number, reviewer, "denied", reason)

    def release(self, number: int, researcher: str) -> Release:
        """Return the answer to an approved request: charged, recorded, then handed out.

        Parameters
        ----------
        number : int
            The request.
        researcher : str
            Who made it.

        Returns
        -------
        Release
            The recorded answer if the same question was answered before, at no cost.

        Raises
        ------
        PrivacyError
            If it is not this researcher's, not approved, or the budget does not allow it. Then
            nothing is charged.
        """
        with self._log.transaction() as held:
            state = read(held.entries)
            request = state.request(number)
            if request.researcher != researcher:
                raise PrivacyError(f"Request {number} was not made by {researcher!r}.")
            if request.status not in ("approved", "answered"):
                said = f" ({request.reason})" if request.reason else ""
                raise PrivacyError(f"Request {number} is {request.status}{said}, not approved.")
            if request.question in state.releases:
                if request.status == "approved":
                    held.append(researcher, "repeated", {"request": number})
                return state.releases[request.question]
            charge = charge_for(request.query, state.schema, request.epsilon)
            _require_budget(state, number, charge)
            answer, parts = noisy_answer(
                request.query, self._table, state.schema, exact(request.epsilon), self._randbelow
            )
            content = {
                "request": number,
                "epsilon": request.epsilon,
                "charge": {"noise_multiplier": charge.noise_multiplier, "steps": charge.steps},
                "answer": answer,
                "parts": [[part.name, list(part.values), part.margin] for part in parts],
            }
            entry = held.append(researcher, "answered", content)
        return recorded_release(entry)

    def _decide(self, number: int, reviewer: str, status: Status, reason: str) -> None:
        _name("reviewer", reviewer)
        if len(reason) > _MOST_TEXT:
            raise PrivacyError(f"reason has {len(reason)} characters; at most {_MOST_TEXT}.")
        with self._log.transaction() as held:
            request = read(held.entries).request(number)
            if request.status != "pending":
                raise PrivacyError(f"Request {number} is {request.status} already.")
            if reviewer == request.researcher:
                raise PrivacyError(f"{reviewer!r} made request {number} and cannot review it.")
            held.append(reviewer, status, {"request": number, "reason": reason})

    def _state(self) -> State:
        with self._log.transaction() as held:
            return read(held.entries)


@dataclass(frozen=True)
class Researcher:
    """A researcher's side of the desk: the schema, the mock, one's own requests and answers.

    Attributes
    ----------
    name
        Who it is.
    """

    _site: DataSite
    name: str

    @property
    def schema(self) -> Schema:
        """The public description of the table."""
        return self._site.schema

    @property
    def mock(self) -> Table:
        """Invented rows with the same columns."""
        return self._site.mock

    @property
    def requests(self) -> list[Request]:
        """One's own requests."""
        return [request for request in self._site.requests if request.researcher == self.name]

    def preview(self, query: Query, epsilon: float) -> Release:
        """Answer on the mock: see :meth:`DataSite.preview`."""
        return self._site.preview(query, epsilon)

    def ask(self, query: Query, epsilon: float, purpose: str) -> int:
        """Enter a request and return its number: see :meth:`DataSite.submit`."""
        return self._site.submit(self.name, query, epsilon, purpose)

    def collect(self, number: int) -> Release:
        """Return the answer to an approved request: see :meth:`DataSite.release`."""
        return self._site.release(number, self.name)


def _require_budget(state: State, number: int, charge: Charge) -> None:
    spent, after = state.ledger().spent, state.spent_with(charge)
    if after > state.epsilon:
        raise PrivacyError(
            f"Request {number} would bring the spending from {spent:.4g} to {after:.4g} at "
            f"delta={state.delta:g}; the budget is {state.epsilon:g}. Nothing was charged. Ask "
            "again with a smaller epsilon, or stop."
        )


def _name(role: str, name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 100:
        raise PrivacyError(f"{role}={name!r} must be a name of 1 to 100 characters.")
    return name


def _fingerprint(table: Table, salt: str) -> str:
    """Return a keyed hash of the table, by which another table is noticed."""
    digest = hashlib.sha256(bytes.fromhex(salt))
    for name in sorted(table):
        values = table[name]
        digest.update(f"{name}|{values.dtype.kind}|{len(values)}|".encode())
        strings = values.dtype.kind == "U"
        digest.update("\0".join(values.tolist()).encode() if strings else values.tobytes())
    return digest.hexdigest()
