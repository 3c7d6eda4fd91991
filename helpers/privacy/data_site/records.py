"""Requests, answers, and the state of a data site that follows from its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from helpers.errors import PrivacyError
from helpers.privacy.accounting import Method
from helpers.privacy.data_site import queries
from helpers.privacy.data_site.audit_log import Anchor, Entry
from helpers.privacy.data_site.queries import Query
from helpers.privacy.data_site.schema import Schema
from helpers.privacy.ledger import Charge, PrivacyLedger

Status = Literal["pending", "approved", "denied", "answered"]


@dataclass(frozen=True)
class Request:
    """A question, and what has become of it.

    Attributes
    ----------
    number
        1, 2, 3, ... in the order of asking.
    researcher
        Who asks.
    query
        What, in its full spelling.
    epsilon
        How much budget the answer may use.
    purpose
        What for.
    status
        ``"pending"``, ``"approved"``, ``"denied"`` or ``"answered"``.
    reason
        What the reviewer said.
    """

    number: int
    researcher: str
    query: Query
    epsilon: float
    purpose: str
    status: Status = "pending"
    reason: str = ""

    @property
    def question(self) -> str:
        """One string for one question at one epsilon."""
        return f"{self.query.canonical()} at {self.epsilon!r}"


@dataclass(frozen=True)
class NoisyPart:
    """One thing that was counted or summed, with its noise.

    Attributes
    ----------
    name
        ``"count"``, ``"sum"`` or ``"counts"``.
    values
        With noise, in the unit of the column.
    margin
        Each value's noise is smaller than this with probability 0.95.
    """

    name: str
    values: tuple[float, ...]
    margin: float


@dataclass(frozen=True)
class Release:
    """An answer as it was recorded and may be passed on.

    Attributes
    ----------
    answer
        A number, or one number a bin.
    parts
        The noisy numbers it was made from.
    epsilon
        What it was charged.
    anchor
        Where the log records it: keep it, to check the log with later.
    """

    answer: float | list[float]
    parts: tuple[NoisyPart, ...]
    epsilon: float
    anchor: Anchor


@dataclass(frozen=True)
class Assessment:
    """What a reviewer should know of a request before deciding.

    Attributes
    ----------
    spent_before, spent_after
        Budget spent, by the ledger's accountant, without and with this answer.
    budget
        The whole.
    recorded
        Whether the same question is answered already, so that the answer costs nothing.
    margins
        Name of each part and how far its noise reaches with probability 0.95.
    """

    spent_before: float
    spent_after: float
    budget: float
    recorded: bool
    margins: dict[str, float]

    @property
    def fits(self) -> bool:
        """Whether the budget allows it now."""
        return self.recorded or self.spent_after <= self.budget


@dataclass
class State:
    """What follows from the log."""

    schema: Schema
    epsilon: float
    delta: float
    method: Method
    mock_rows: int
    mock_seed: int
    requests: dict[int, Request]
    releases: dict[str, Release]
    charges: list[Charge]

    def request(self, number: int) -> Request:
        """Return the request of that number, or raise PrivacyError."""
        if number not in self.requests:
            raise PrivacyError(f"There is no request {number!r}; {len(self.requests)} were made.")
        return self.requests[number]

    def ledger(self) -> PrivacyLedger:
        """Return the budget with everything charged."""
        ledger = PrivacyLedger(self.epsilon, self.delta, self.method)
        for charge in merged(self.charges):
            ledger.charge(charge)
        return ledger

    def spent_with(self, charge: Charge) -> float:
        """Return the epsilon of everything charged, and one more."""
        *others, last = merged([*self.charges, charge])
        ledger = PrivacyLedger(self.epsilon, self.delta, self.method)
        for other in others:
            ledger.charge(other)
        return ledger.would_spend(last)


def merged(charges: Sequence[Charge]) -> list[Charge]:
    """Return the same charges with those of equal noise as one, which is quicker to account for.

    The noise of the last charge comes last.
    """
    steps: dict[float, int] = {}
    for charge in charges:
        steps[charge.noise_multiplier] = steps.pop(charge.noise_multiplier, 0) + charge.steps
    return [Charge(noise, steps=count, noise="laplace") for noise, count in steps.items()]


def read(entries: Sequence[Entry]) -> State:
    """Replay the log."""
    first = entries[0].details
    state = State(
        schema=Schema.from_json(first["schema"]),
        epsilon=first["epsilon"],
        delta=first["delta"],
        method=first["method"],
        mock_rows=first["mock_rows"],
        mock_seed=first["mock_seed"],
        requests={},
        releases={},
        charges=[],
    )
    for entry in entries[1:]:
        _replay(state, entry)
    return state


def _replay(state: State, entry: Entry) -> None:
    details = entry.details
    number = details["request"]
    if entry.event == "asked":
        query = queries.from_json(details["query"])
        state.requests[number] = Request(
            number, entry.actor, query, details["epsilon"], details["purpose"]
        )
        return
    request = state.requests[number]
    status: dict[str, Status] = {
        "approved": "approved",
        "denied": "denied",
        "answered": "answered",
        "repeated": "answered",
    }
    state.requests[number] = replace(
        request, status=status[entry.event], reason=details.get("reason", request.reason)
    )
    if entry.event == "answered":
        state.releases[request.question] = release(entry)
        state.charges.append(Charge(**details["charge"], noise="laplace"))


def release(entry: Entry) -> Release:
    """Return the answer that an entry records."""
    details = entry.details
    parts = tuple(NoisyPart(name, tuple(values), m) for name, values, m in details["parts"])
    anchor = Anchor(entry.position, entry.hash)
    return Release(details["answer"], parts, details["epsilon"], anchor)
