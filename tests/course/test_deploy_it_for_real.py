"""Lab 4's checks: wrong answers are named, and another right answer passes."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from helpers.course.checks.deploy_it_for_real import LAB, LAYERS
from helpers.course.tasks import FunctionTask, judge_value
from tests.course.judging import judge_of

judged = judge_of(LAB)


def letting_in(
    *,
    by_name: bool = False,
    raises: type[Exception] = Exception,
    begins: bool = True,
    last_second: bool = True,
    purpose_matters: bool = True,
    lists: bool = True,
    list_first: bool = False,
    purpose_first: bool = False,
    signature_last: bool = False,
) -> Callable[..., str]:
    """Exercise 1 with something left out."""
    purposes = {
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
    }

    def answer(shown: bytes, root: bytes, purpose: str, now: float, revoked: list[int]) -> str:
        certificate, ours = map(x509.load_der_x509_certificate, (shown, root))
        if signature_last:
            pass
        elif by_name:
            if certificate.issuer != ours.subject:
                return "other authority"
        else:
            try:
                certificate.verify_directly_issued_by(ours)
            except raises:
                return "other authority"
        allowed = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if purpose_first and purposes[purpose] not in allowed:
            return "wrong purpose"
        early = begins and now < certificate.not_valid_before_utc.timestamp()
        end = certificate.not_valid_after_utc.timestamp()
        if early or now > end or (now == end and not last_second):
            return "not in force"
        if list_first and certificate.serial_number in revoked:
            return "revoked"
        if purpose_matters and purposes[purpose] not in allowed:
            return "wrong purpose"
        if lists and certificate.serial_number in revoked:
            return "revoked"
        if signature_last:
            return letting_in()(shown, root, purpose, now, revoked)
        return ""

    return answer


def with_digits(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    """Lengths as decimal digits, with nothing that ends them."""
    parts = (node.encode(), challenge, payload)
    return struct.pack("<QQ", run, number) + b"".join(b"%d" % len(part) + part for part in parts)


def joined(separator: bytes) -> Callable[..., bytes]:
    def answer(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
        parts = [str(run).encode(), str(number).encode(), node.encode(), challenge, payload]
        return separator.join(parts)

    return answer


def without_round(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    return repr((run, node, challenge, payload)).encode()


def with_one_length(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    return struct.pack("<QQQ", run, number, len(challenge)) + node.encode() + challenge + payload


def filled(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    return struct.pack("<QQ400s128s", run, number, node.encode(), challenge) + payload


def cut(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    start = struct.pack("<QQ64sQ", run, number, node.encode(), len(challenge))
    return start + challenge + payload


def with_lengths(code: str, wrap: int = 2**64) -> Callable[..., bytes]:
    """Exercise 2 with lengths of a format, modulo `wrap`."""

    def answer(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
        parts = (node.encode(), challenge, payload)
        lengths = (struct.pack(code, len(part) % wrap) for part in parts)
        joined = b"".join(length + part for length, part in zip(lengths, parts, strict=True))
        return struct.pack("<QQ", run, number) + joined

    return answer


def with_counts(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    """Lengths in digits of all but the name, which a separator alone ends."""
    head = f"{run}:{number}:{node}:{len(challenge)}:{len(payload)}:"
    return head.encode() + challenge + payload


def named(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    """A name that a separator alone ends, and a length of eight bytes behind it."""
    head = struct.pack("<QQ", run, number) + node.encode() + b"|"
    return head + struct.pack("<Q", len(challenge)) + challenge + payload


def widened(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    """A name that zeros fill up to a width."""
    head = struct.pack("<QQ", run, number) + node.encode().ljust(400, b"\0")
    return head + struct.pack("<Q", len(challenge)) + challenge + payload


def once_or_never(arrivals: list, ticket: dict, members: dict, size: int) -> list[str]:
    """Exercise 3 by one who refuses every update of a sender that comes twice."""
    senders = [update["sender"] for update in arrivals]
    said = by_gate()(arrivals, ticket, members, size)
    return [
        "duplicate" if sender in members and senders.count(sender) > 1 else reason
        for sender, reason in zip(senders, said, strict=True)
    ]


def as_json(run: float, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    return json.dumps([run, number, node, challenge.hex(), payload.hex()]).encode()


def by_gate(**left_out: Any) -> Callable[..., list[str]]:
    """Exercise 3 with something left out."""

    def finite(values: np.ndarray) -> bool:
        if left_out.get("adds_up"):
            with np.errstate(over="ignore"):
                return bool(np.isfinite(values.sum()))
        if left_out.get("compares"):
            return not (np.abs(values) > 1e38).any()
        return bool(np.isfinite(values).all())

    def answer(arrivals: list, ticket: dict, members: dict, size: int) -> list[str]:
        reasons, seen = [], set()
        parts = left_out.get("parts", ("run", "round", "challenge"))
        for update in arrivals:
            sender, reason = update["sender"], ""
            other = any(
                update[part] > ticket[part]
                if part in left_out.get("older", ())
                else update[part] != ticket[part]
                for part in parts
            )
            believes = left_out.get("believes", lambda claimed, own, _: claimed == own)
            if sender not in members:
                reason = "stranger"
            elif sender in seen and not (other and left_out.get("ticket_first")):
                reason = "duplicate"
            elif other:
                reason = "wrong ticket"
            elif not believes(update["examples"], members[sender], members.values()):
                reason = "wrong count"
            elif update["values"].size != size if left_out.get("sizes") else (
                update["values"].shape != (size,)
            ):  # fmt: skip
                reason = "wrong size"
            elif not finite(update["values"]):
                reason = "not finite"
            if not reason or left_out.get("hasty"):
                seen.add(sender)
            reasons.append(reason)
        return reasons

    return answer


def every_round_done(events: list[dict[str, Any]]) -> dict[int, list[int]]:
    return {line["round"]: line["clients"] for line in events if line["event"] == "round done"}


def first_done(events: list[dict[str, Any]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for line in events:
        if line["event"] == "round done":
            found.setdefault(line["round"], line["clients"])
    return found


def added_up(events: list[dict[str, Any]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for line in events:
        if line["event"] == "round done":
            found[line["round"]] = [*found.get(line["round"], []), *line["clients"]]
    return found


def tuples(events: list[dict[str, Any]]) -> dict[int, tuple[int, ...]]:
    task = LAB.task("q6")
    assert isinstance(task, FunctionTask)
    return {number: tuple(who) for number, who in task.reference(events).items()}


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("q1", letting_in(by_name=True), "a name is text that anyone can write"),
    ("q1", letting_in(begins=False), "not begun yet"),
    ("q1", letting_in(purpose_matters=False), "the other purpose"),
    ("q1", letting_in(lists=False), "its serial number is on the list"),
    ("q1", letting_in(last_second=False), "nothing is wrong with it"),
    ("q1", letting_in(list_first=True), "the first of the list that applies is another"),
    ("q1", letting_in(purpose_first=True), "the first of the list that applies is another"),
    ("q1", letting_in(signature_last=True), "the first of the list that applies is another"),
    ("q1", lambda *a: "refused", "return one of"),
    ("q2", joined(b""), "two different updates give the same bytes"),
    ("q2", joined(b"|"), "two different updates give the same bytes"),
    ("q2", joined(b"::"), "two different updates give the same bytes"),
    ("q2", joined(b"#"), "two different updates give the same bytes"),
    ("q2", with_digits, "two different updates give the same bytes"),
    ("q2", lambda *a: hashlib.sha256(joined(b"")(*a)).digest(), "give the same bytes"),
    ("q2", with_one_length, "two different updates give the same bytes"),
    ("q2", with_lengths("B", 256), "two different updates give the same bytes"),
    ("q2", with_lengths("<H", 65536), "two different updates give the same bytes"),
    ("q2", filled, "`challenge` is not covered, or not all of it"),
    ("q2", cut, "`node` is not covered, or not all of it"),
    ("q2", with_counts, "two different updates give the same bytes"),
    ("q2", named, "two different updates give the same bytes"),
    ("q2", widened, "`node` is not covered, or not all of it"),
    ("q2", lambda *a: hashlib.md5(as_json(*a)).digest(), "16 bytes stand for an update"),
    ("q2", lambda *a: struct.pack("<q", hash(a)), "8 bytes stand for an update"),
    ("q2", without_round, "`round_number` is not covered"),
    ("q2", lambda run, *a: as_json(run % 2**32, *a), "`run` is not covered, or not all of it"),
    ("q2", lambda run, *a: as_json(float(run), *a), "`run` is not covered, or not all of it"),
    ("q2", lambda *a: repr(a), "this is text"),
    ("q3", by_gate(hasty=True), "does not use up its sender's turn"),
    ("q3", once_or_never, "update 1 of 3 (from hospital-1): refused as 'duplicate', and nothing"),
    ("q3", by_gate(parts=("run", "round")), "run, round and challenge must all be"),
    ("q3", by_gate(parts=("round", "challenge")), "run, round and challenge must all be"),
    ("q3", by_gate(compares=True), "np.isfinite"),
    ("q3", by_gate(adds_up=True), "nothing is wrong with it"),
    ("q3", by_gate(believes=lambda claimed, *_: True), "another number of examples"),
    ("q3", by_gate(believes=lambda claimed, own, _: claimed <= own), "another number of examples"),
    ("q3", by_gate(believes=lambda claimed, _, all_: claimed in all_), "another number of examp"),
    ("q3", by_gate(older=("round",)), "run, round and challenge must all be"),
    ("q3", by_gate(older=("run",)), "run, round and challenge must all be"),
    ("q3", by_gate(sizes=True), "another shape"),
    ("q3", by_gate(ticket_first=True), "'duplicate' comes first"),
    ("q3", lambda arrivals, *a: [""] * len(arrivals), "counted already"),
    ("q4", lambda came, asked, quorum, *a: "go" if len(came) >= quorum else "wait", "time is left"),
    ("q4", lambda c, a, q, d, now: "go" if len(c) == a else "wait" if now < d
        else "go" if len(c) >= q else "repeat", "after the deadline counts as none"),
    ("q4", lambda c, a, q, d, now: "wait" if now < d
        else "go" if sum(t <= d for t in c) >= q else "repeat", "only costs time"),
    ("q4", lambda c, a, q, d, now: "go" if sum(t < d for t in c) == a else "wait" if now < d
        else "go" if sum(t < d for t in c) >= q else "repeat", "came in time"),
    ("q5", lambda c, t: max((p["rounds_done"] for p in c), default=0) + 1, "torn"),
    ("q5", lambda c, t: max((p["rounds_done"] for p in c if p["task"] == t
        and p["promised"] == p["found"]), default=1), "counts its updates twice"),
    ("q5", lambda c, t: ([p["rounds_done"] for p in c if p["task"] == t
        and p["promised"] == p["found"]] or [0])[-1] + 1, "not always the last"),
    ("q6", every_round_done, "the run that started later began before it"),
    ("q6", first_done, "the later run counts"),
    ("q6", added_up, "counted twice"),
    ("q6", lambda events: {}, "left out"),
]  # fmt: skip


def test_numbers_that_share_one_hash_do_not_hold_up_the_judge() -> None:
    task = LAB.task("q6")
    assert isinstance(task, FunctionTask)
    many = [n * (2**61 - 1) for n in range(1, 100_000)]
    started = time.process_time()
    found = judged("q6", lambda events: dict.fromkeys(task.reference(events), many))
    assert found.status == "mismatch"
    assert len(found.explanation) < 1000
    assert time.process_time() - started < 15


@pytest.mark.parametrize(("task", "answer", "named"), WRONG)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_slip_is_named(task: str, answer: Callable[..., Any], named: str, seed: int) -> None:
    found = judged(task, answer, seed)
    assert found.status == "mismatch"
    assert named in found.explanation


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("q1", letting_in(raises=InvalidSignature)),  # another name is a ValueError
        ("q2", with_lengths("B")),
        ("q2", with_lengths("<H")),
        ("q2", lambda run, number, *rest: struct.pack("<II", run, number) + repr(rest).encode()),
    ],
)
def test_an_answer_that_stops_on_a_rarer_input_does_not_pass(
    task: str, answer: Callable[..., Any]
) -> None:
    assert judged(task, answer).status == "error"


def hashed_parts(run: int, number: int, node: str, challenge: bytes, payload: bytes) -> bytes:
    digests = (hashlib.sha256(part).digest() for part in (node.encode(), challenge, payload))
    return struct.pack(">QQ", run, number) + b"".join(digests)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("q1", letting_in()),
        ("q2", as_json),
        ("q2", hashed_parts),
        ("q2", with_lengths(">I")),
        ("q2", lambda *a: repr(a).encode()),
        ("q3", by_gate()),
        ("q6", tuples),
    ],
)
def test_another_right_answer_passes_on_every_seed(task: str, answer: Callable[..., Any]) -> None:
    assert {judged(task, answer, seed).status for seed in range(5)} == {"passed"}


def test_every_attack_has_one_layer_and_letters_may_be_capitals() -> None:
    task = LAB.task("q7")
    assert task is not None
    right = task.reference(0, "full")
    assert set(right.values()) == set(LAYERS)
    capitals = {name: f" {letter.upper()}" for name, letter in right.items()}
    assert judge_value(task, capitals, right).status == "passed"  # type: ignore[arg-type]
    strange = judge_value(task, {**right, "backwards": "e"}, right)  # type: ignore[arg-type]
    assert (strange.status, strange.points) == ("mismatch", 0)
    assert "'e' is none of the letters" in strange.explanation


def test_wrong_letters_are_told_by_their_table_and_cannot_be_counted() -> None:
    task = LAB.task("q7")
    assert task is not None
    right = task.reference(0, "full")
    outside, sent = list(right)[:7], list(right)[7:]
    told = {}
    for names in (outside[:1], outside[-2:], outside, sent[:1], sent[1:], sent):
        wrong = {**right, **{name: "b" if right[name] != "b" else "a" for name in names}}
        found = judge_value(task, wrong, right)  # type: ignore[arg-type]
        assert found.status == "mismatch"
        told[tuple(names)] = found.explanation
        assert not any(character.isdigit() for character in found.explanation)
    assert len(set(told.values())) == 2
    assert "attacks from outside" in told[tuple(outside)]
    assert "a member sent" in told[tuple(sent)]
