"""What is handed in beforehand, and who is heard: q5 and q6."""

from __future__ import annotations

import hashlib
import reprlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from helpers.course.compare import Slips, equal, or_explain, satisfies
from helpers.course.separators import SEPARATORS
from helpers.course.tasks import Case, FunctionTask

# --- q5: commit


def _commit_reference(secret: bytes, settings: bytes, file: bytes) -> str:
    parts = (secret, settings, file)
    return hashlib.sha256(b"".join(struct.pack("<Q", len(p)) + p for p in parts)).hexdigest()


def _cut_at_separators(secret: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Pairs of triples that a separator joins to the same text."""
    for separator in SEPARATORS:
        yield secret, b"bits" + separator + b"256", b"file"
        yield secret, b"bits", b"256" + separator + b"file"


def _the_same_where_lengths_wrap(secret: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Pairs of triples that lengths of one or two bytes, or in digits, join to the same bytes."""
    for width in (1, 2):
        around, letters = 256**width, int.from_bytes(b"a" * width, "big")
        yield secret, b"a" * letters, b"a" * (around + letters)
        yield secret + b"a" * around, b"a" * letters, b"a" * letters
    # Lengths as decimal digits, with nothing that ends them: 320..., 297..., 2xy.
    tail = secret[1:]
    yield b"0" + tail, b"a" * 286 + b"5hello7abcd", b"xy"
    yield tail + b"297" + b"a" * 286, b"hello", b"abcd2xy"
    # All lengths in front, as digits: 111, 11, 4 and 11, 111, 4.
    long = secret * 4
    yield long[:111], long[111:122], b"file"
    yield long[:11], long[11:122], b"file"


def _commit_cases(rng: np.random.Generator) -> list[Case]:
    secret, other = rng.bytes(32), rng.bytes(32)
    return [
        Case((secret, b"bits 256", b"the file"), "a secret, a scheme, a file"),
        Case((secret, b"bits 256", b"the file"), "the same again"),
        Case((other, b"bits 256", b"the file"), "another secret"),
        Case((secret, b"bits 255", b"the file"), "another scheme"),
        Case((secret, b"bits 256", b"the file!"), "another file"),
        Case((b"bits 256", secret, b"the file"), "secret and scheme exchanged"),
        Case((secret, b"bits 256the", b" file"), "the same bytes, cut elsewhere"),
        Case((secret[:31], secret[31:] + b"bits 256", b"the file"), "cut elsewhere again"),
        Case((secret, b"", b"bits 256the file"), "an empty part"),
        Case((secret + b"\x00", b"bits 256", b"the file"), "a zero at the end of the secret"),
        Case((secret, b"bits 256", b"the" + b"\x00" * 3), "zeros at the end"),
        Case((secret, b"bits 256", b"the" + b"\x00" * 4), "one zero more"),
        Case((secret, b"bits 256 ", b"the file"), "a blank at the end"),
        Case((secret + b" ", b"bits 256", b"the file"), "a blank at the end of another part"),
        *(Case(cut, "a separator in a part") for cut in _cut_at_separators(secret)),
        *(Case(long, "a long part") for long in _the_same_where_lengths_wrap(secret)),
    ]


def _commit_problem(args: tuple[Any, ...], got: Any) -> str | None:
    if not isinstance(got, str) or len(got) != 64 or set(got) - set("0123456789abcdef"):
        return "return SHA-256 as text: 64 hexadecimal digits, from .hexdigest()"
    if args[0].hex() in got:
        return "the secret can be read in it"
    return None


def _commit_relations(calls: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    shown = [got for _, got in calls]
    if shown[0] != shown[1]:
        return "the same parts gave two different hashes: nothing random may go in"
    for number, what in ((2, "secret"), (3, "scheme"), (4, "file")):
        if shown[number] == shown[0]:
            return f"another {what} gives the same hash: it is not in it"
    if shown[5] == shown[0]:
        return "two parts exchanged give the same hash: it must say which part is which"
    for one in range(1, len(shown)):
        for other in range(one + 1, len(shown)):
            if shown[one] == shown[other]:
                triples = " and ".join(reprlib.repr(calls[which][0]) for which in (one, other))
                return (
                    "two different triples of parts give the same hash: it must be certain where "
                    "one part ends and the next begins, whatever bytes are in them and however "
                    f"many. They are {triples}"
                )
    return None


COMMIT = FunctionTask(
    "q5", "Commit without showing", 2, _commit_reference, _commit_cases,
    satisfies(_commit_problem),
    "A separator may also be a byte of a part. What could stand before a part instead, so that a "
    "reader knows where it ends?",
    show_expected=False,
    across=_commit_relations,
)  # fmt: skip

# --- q6: who is heard


def _heard_reference(claim: Any, register: Any, first_seen: str) -> str:
    if not claim["opens"]:
        return "does not open"
    dates = [
        entry["date"]
        for entry in register
        if entry["claimant"] == claim["claimant"] and entry["digest"] == claim["digest"]
    ]
    if not dates:
        return "not in the register"
    return "" if min(dates) < first_seen else "too late"


def _heard_cases(rng: np.random.Generator) -> list[Case]:
    digest, other = rng.bytes(8).hex(), rng.bytes(8).hex()

    def entry(claimant: str, shown: str, date: str) -> dict[str, str]:
        return {"claimant": claimant, "digest": shown, "date": date}

    register = [
        entry("acme", other, "2024-01-05"),
        entry("acme", digest, "2025-03-01"),
        entry("mallory", other, "2026-05-02"),
        entry("acme", digest, "2026-06-01"),
    ]
    acme = {"claimant": "acme", "digest": digest, "opens": True}
    return [
        Case((acme, register, "2026-02-10"), "in order, and handed in twice: heard"),
        Case(({**acme, "opens": False}, register, "2026-02-10"), "another key than committed to"),
        Case(({**acme, "digest": "00"}, register, "2026-02-10"), "never handed in"),
        Case(({**acme, "claimant": "mallory"}, register, "2026-12-01"), "somebody else's entry"),
        Case((acme, register, "2025-03-01"), "dated on the day the suspect was seen"),
        Case((acme, register, "2024-06-01"), "dated after the suspect was seen"),
        Case((acme, [], "2026-02-10"), "an empty register"),
        Case(({**acme, "opens": False}, [], "2026-02-10"), "another key, and never handed in"),
        Case(({**acme, "opens": False}, register, "2024-06-01"), "another key, and too late"),
        Case((acme, register[::-1], "2026-02-10"), "the latest entries on top"),
        Case(
            ({**acme, "digest": other, "claimant": "mallory"}, register, "2026-02-10"),
            "a thief who committed after the theft",
        ),
    ]


def _heard_by_latest(claim: Any, register: Any, first_seen: str) -> str:
    mine = [entry for entry in register if entry["digest"] == claim["digest"]][-1:]
    return _heard_reference(claim, mine, first_seen)


def _heard_by_topmost(claim: Any, register: Any, first_seen: str) -> str:
    mine = [
        entry
        for entry in register
        if (entry["claimant"], entry["digest"]) == (claim["claimant"], claim["digest"])
    ]
    return _heard_reference(claim, mine[:1], first_seen)


def _heard_by_digest(claim: Any, register: Any, first_seen: str) -> str:
    return _heard_reference(
        claim, [{**entry, "claimant": claim["claimant"]} for entry in register], first_seen
    )


def _heard_by_name(claim: Any, register: Any, first_seen: str) -> str:
    return _heard_reference(
        claim, [{**entry, "digest": claim["digest"]} for entry in register], first_seen
    )


_HEARD_SLIPS: Slips = {
    "the first date of a commitment counts, not the last": _heard_by_latest,
    "the same day is too late: it has to be BEFORE the suspect was seen": lambda c, r, day: (
        _heard_reference(c, r, day + "~")
    ),
    "an entry counts for the claimant who handed it in, and for nobody else": _heard_by_digest,
    "the entry must be of this commitment, not only of this claimant": _heard_by_name,
    "a key that does not open its commitment is not heard, whatever the register says": (
        lambda c, r, day: _heard_reference({**c, "opens": True}, r, day)
    ),
    "the earliest date counts, and its entry need not stand first": _heard_by_topmost,
}

HEARD = FunctionTask(
    "q6", "Who is heard", 2, _heard_reference, _heard_cases,
    or_explain(equal(), _HEARD_SLIPS),
    "Collect the dates of all entries with this claimant and this digest. Which of them matters?",
)  # fmt: skip
