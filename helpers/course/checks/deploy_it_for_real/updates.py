"""What an update is signed with, and which updates count: q2 and q3."""

from __future__ import annotations

import itertools
import reprlib
import struct
from typing import Any

import numpy as np

from helpers.course.compare import satisfies
from helpers.course.separators import SEPARATORS
from helpers.course.tasks import Case, FunctionTask

# --- q2: the bytes to sign

_FIELDS = ("run", "round_number", "node", "challenge", "payload")

_FEWEST_BYTES = 28  # of a hash in which nobody finds two updates that share it


def _signed_reference(
    run: int, round_number: int, node: str, challenge: bytes, payload: bytes
) -> bytes:
    numbers = struct.pack("<QQ", run, round_number)
    parts = (node.encode(), challenge, payload)
    return numbers + b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def _the_same_where_lengths_wrap(width: int) -> list[Case]:
    """Two updates that give the same bytes if every length is written modulo ``256**width``."""
    around, letters = 256**width, int.from_bytes(b"a" * width, "big")  # a length that reads as text
    one = (1, 2, "h", b"a" * letters, b"a" * (around + letters))
    other = (1, 2, "h" + "a" * around, b"a" * letters, b"a" * letters)
    return [Case(one, f"a payload of {around + letters:,} bytes"),
            Case(other, f"a name of {around + 1:,} letters")]  # fmt: skip


def _the_same_where_the_name_is_open(separator: bytes) -> list[Case]:
    """Two pairs of updates that give the same bytes if a separator alone ends the name.

    The first pair does where the other lengths are digits, the second where they have eight bytes.
    """
    if not separator.isascii():
        return []
    mark, two = separator.decode(), struct.pack("<Q", 2)
    digits = f"a{mark}1{mark}{3 * len(separator) + 4}{mark}b"
    packed = "a" + mark + struct.pack("<Q", 1).decode() + "b"
    pairs = [
        (1, 2, "a", b"b", separator + b"2" + separator + b"0" + separator + b"cc"),
        (1, 2, digits, b"cc", b""),
        (1, 2, "a", b"b", separator + two + b"cc"),
        (1, 2, packed, b"cc", b""),
    ]
    return [Case(args, "separators and lengths inside the parts") for args in pairs]


def _signed_cases(rng: np.random.Generator) -> list[Case]:
    first = (int(rng.integers(10**9, 10**10)), 3, "hospital-1", rng.bytes(16), rng.bytes(12))
    changed = [
        (first[0] + 1, *first[1:]),
        (first[0], 4, *first[2:]),
        (*first[:2], "hospital-2", *first[3:]),
        (*first[:3], rng.bytes(16), first[4]),
        (*first[:4], rng.bytes(12)),
    ]
    moved = [
        ((1, 12, "hospital-1", b"ab", b"cd"), "round 12 of run 1"),
        ((11, 2, "hospital-1", b"ab", b"cd"), "round 2 of run 11"),
        ((1, 1, "2-hospital", b"ab", b"cd"), "a node whose name begins with a digit"),
        ((1, 12, "-hospital", b"ab", b"cd"), "round 12, and the name without the digit"),
        ((1, 2, "hospital-1", b"2ab", b"cd"), "a challenge that begins with a digit"),
        ((1, 2, "hospital-12", b"ab", b"cd"), "the digit at the end of the name"),
        ((1, 2, "hospital-1", b"ab", b"cd"), "challenge ab, payload cd"),
        ((1, 2, "hospital-1", b"abc", b"d"), "challenge abc, payload d"),
        ((1, 2, "hospital-1a", b"bc", b"d"), "each part begins a byte later"),
        ((1, 2, "hospital-1", b"", b"abcd"), "no challenge, payload abcd"),
        ((1, 2, "hospital-1", b"ab\x00", b"cd"), "a challenge that ends with a zero"),
        ((1, 2, "hospital-1", bytes(99) + b"1", b"cd"), "a long challenge"),
        ((1, 2, "hospital-1", bytes(99) + b"2", b"cd"), "another long challenge"),
        ((1, 2, "hospital-" + 290 * "1", b"ab", b"cd"), "a long name"),
        ((1, 2, "hospital-" + 290 * "1" + "2", b"ab", b"cd"), "a longer name"),
        ((2**64 - 1, 2, "hospital-1", b"ab", b"cd"), "the largest number of a run"),
        ((2**64 - 2, 2, "hospital-1", b"ab", b"cd"), "the largest number but one"),
        ((2**32 + 1, 2, "hospital-1", b"ab", b"cd"), "a run beyond 2 to the 32nd"),
        ((1, 2**32 + 2, "hospital-1", b"ab", b"cd"), "a round beyond 2 to the 32nd"),
        # Lengths as decimal digits, with nothing that ends them.
        ((1, 2, "2", b"kkkkkkkkkk0", b"1"), "a name that is a digit"),
        ((1, 2, "11kkkkkkkkkk", b"", b"1"), "a name that begins with digits"),
        ((1, 2, "a", b"", b"c"), "a short name"),
        ((1, 2, "a\0", b"", b"c"), "a name that ends with a zero"),
    ]
    cases = [Case(first, "an update"), *(Case(args, "one part changed") for args in changed)]
    cases += [Case(args, label) for args, label in moved]
    for separator in SEPARATORS:
        cases += [
            Case((1, 2, "h", b"a" + separator + b"b", b"c"), "separators inside the parts"),
            Case((1, 2, "h", b"a", b"b" + separator + b"c"), "separators inside the parts"),
            *_the_same_where_the_name_is_open(separator),
        ]
    cases += [*_the_same_where_lengths_wrap(1), *_the_same_where_lengths_wrap(2)]
    return [*cases, Case(first, "the first update again")]


def _signed_problem(args: tuple[Any, ...], got: Any) -> str | None:
    if isinstance(got, str):
        return "this is text; a signature covers bytes: .encode() it"
    if not isinstance(got, bytes):
        return "return bytes"
    if len(got) < _FEWEST_BYTES <= sum(map(len, args[2:])):
        return (
            f"{len(got)} bytes stand for an update that is longer: others have the same, and with "
            f"fewer than {_FEWEST_BYTES} bytes they can be searched for"
        )
    return None


def _signed_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    """Find two updates that would share a signature."""
    if calls[0][1] != calls[-1][1]:
        return "the same update gave other bytes the second time: its signature would never verify"
    for (one, first), (other, second) in itertools.combinations(calls[:-1], 2):
        if first != second:
            continue
        differing = {
            name: f"{reprlib.repr(a)} or {reprlib.repr(b)}"
            for name, a, b in zip(_FIELDS, one, other, strict=True)
            if a != b
        }
        if len(differing) == 1:
            ((name, values),) = differing.items()
            return f"`{name}` is not covered, or not all of it: {values} gives the same bytes"
        pairs = "; ".join(f"{name} {values}" for name, values in differing.items())
        return (
            f"two different updates give the same bytes, so one signature is good for both: {pairs}"
        )
    return None


# --- q3: the gate


def _gate_reference(
    arrivals: list[dict[str, Any]], ticket: dict[str, Any], members: dict[str, int], size: int
) -> list[str]:
    reasons: list[str] = []
    seen: set[str] = set()
    for update in arrivals:
        reasons.append(_refusal(update, ticket, members, size, seen))
        if not reasons[-1]:
            seen.add(update["sender"])
    return reasons


def _refusal(
    update: dict[str, Any],
    ticket: dict[str, Any],
    members: dict[str, int],
    size: int,
    seen: set[str],
) -> str:
    sender = update["sender"]
    if sender not in members:
        return "stranger"
    if sender in seen:
        return "duplicate"
    if any(update[part] != ticket[part] for part in ("run", "round", "challenge")):
        return "wrong ticket"
    if update["examples"] != members[sender]:
        return "wrong count"
    if np.shape(update["values"]) != (size,):
        return "wrong size"
    return "" if np.isfinite(update["values"]).all() else "not finite"


_GATE_REASONS = (
    "",
    "stranger",
    "duplicate",
    "wrong ticket",
    "wrong count",
    "wrong size",
    "not finite",
)


def _gate_cases(rng: np.random.Generator) -> list[Case]:
    size = 6
    ticket: dict[str, Any] = {
        "run": int(rng.integers(10**9)),
        "round": int(rng.integers(5, 50)),
        "challenge": rng.bytes(8),
    }
    counts = rng.choice(np.arange(50, 500), 4, replace=False)  # no two alike
    members = {f"hospital-{i + 1}": int(count) for i, count in enumerate(counts)}

    def update(number: int, **changed: Any) -> dict[str, Any]:
        sender = f"hospital-{number}"
        values = rng.standard_normal(size).astype(np.float32)
        honest = {"sender": sender, **ticket, "examples": members.get(sender, 100)}
        return {**honest, "values": values, **changed}

    def spoilt(value: float) -> np.ndarray:
        return np.append(rng.standard_normal(size - 1), value).astype(np.float32)

    def case(label: str, *arrivals: dict[str, Any]) -> Case:
        return Case((list(arrivals), ticket, members, size), label)

    late = {"round": ticket["round"] - 1, "challenge": rng.bytes(8)}
    return [
        case("four honest updates", *(update(number) for number in (2, 1, 4, 3))),
        case("the same sender twice", update(1), update(2), update(1)),
        case("a stranger", update(1), update(9)),
        case("replayed: signed for the round before", update(1), update(2, **late)),
        case(
            "replayed: of this round, but of an attempt that was broken off",
            update(3, challenge=rng.bytes(8)),
        ),
        case("of another run", update(3, run=ticket["run"] + 1)),
        case("of an earlier run", update(3, run=ticket["run"] - 1)),
        case("of a round that has not come", update(3, round=ticket["round"] + 1)),
        case("of the round before", update(3, round=ticket["round"] - 1)),
        case("a hospital claims more examples than it joined with", update(4, examples=10**9)),
        case("a hospital claims one example", update(4, examples=1)),
        case(
            "a hospital claims as many examples as another has",
            update(4, examples=members["hospital-1"]),
        ),
        case("too many values", update(4, values=np.zeros(5000, np.float32))),
        case("too few values", update(4, values=np.zeros(size - 1, np.float32))),
        case("the right number in another shape", update(4, values=np.zeros((size, 1)))),
        case("NaN", update(1, values=spoilt(np.nan)), update(2)),
        case("infinity", update(1, values=spoilt(np.inf)), update(2, values=spoilt(-np.inf))),
        case("large, and finite, though their sum is not",
             update(1, values=np.full(size, 1e38, np.float32))),
        case("refused, then sent again as it should be", update(2, values=spoilt(np.nan)),
             update(2), update(2)),
        case(
            "more than one thing is wrong with each but the first",
            update(1),
            update(1, **late),
            update(2, **late, examples=10**9),
            update(3, examples=10**9, values=np.zeros(5000, np.float32)),
            update(4, values=np.full(size + 1, np.nan)),
            update(9, **late),
        ),
        case("nothing came"),
    ]  # fmt: skip


_LET_THROUGH = {
    "stranger": "its sender is not among the members",
    "duplicate": "its sender has been counted already in this round",
    "wrong ticket": "run, round and challenge must all be those of the ticket",
    "wrong count": "it claims another number of examples than its sender joined with",
    "wrong size": "its values have another shape than (size,)",
    "not finite": "it holds NaN or infinity; every comparison with NaN is False, so use "
    "np.isfinite",
}


def _gate_problem(args: tuple[Any, ...], got: Any) -> str | None:
    expected = _gate_reference(*args)
    if not isinstance(got, list | tuple) or not all(isinstance(reason, str) for reason in got):
        return "return a list of reasons, one text for each update that arrived"
    if len(got) != len(expected):
        return f"{len(expected)} updates arrived and {len(got)} reasons came back"
    for number, (ours, right) in enumerate(zip(got, expected, strict=True)):
        if ours == right:
            continue
        sender = args[0][number]["sender"]
        where = f"update {number + 1} of {len(got)} (from {sender})"
        if ours not in _GATE_REASONS:
            return f"{where}: {ours!r} is none of the reasons"
        if not ours:
            return f"{where} was counted: {_LET_THROUGH[right]}"
        if right:
            return f"{where}: refused as {ours!r}; {right!r} comes first"
        if ours == "duplicate" and sender in [one["sender"] for one in args[0][:number]]:
            return f"{where}: an update that was refused does not use up its sender's turn"
        return f"{where}: refused as {ours!r}, and nothing is wrong with it"
    return None


SIGNED = FunctionTask(
    "q2", "The bytes to sign", 2, _signed_reference, _signed_cases, satisfies(_signed_problem),
    "Give every number a fixed width, as struct.pack('<Q', number) does, and write the length of "
    "every text or bytes in front of it.",
    across=_signed_relations,
    show_expected=False,
)  # fmt: skip
GATE = FunctionTask(
    "q3", "The gate", 3, _gate_reference, _gate_cases, satisfies(_gate_problem),
    "Go through the arrivals in order with a set of the senders that have been counted. One `if` a "
    "reason, in the order of the list; add the sender only at the very end.",
)  # fmt: skip
