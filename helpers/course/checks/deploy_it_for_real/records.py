"""When a round goes on, where a server resumes, and what stands afterwards: q4 to q6."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, equal, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask

# --- q4: wait, go on or repeat


def _deadline_reference(
    came_at: list[float], asked: int, quorum: int, deadline: float, now: float
) -> str:
    in_time = sum(moment <= min(now, deadline) for moment in came_at)
    if in_time == asked:
        return "go"
    if now < deadline:
        return "wait"
    return "go" if in_time >= quorum else "repeat"


def _deadline_cases(rng: np.random.Generator) -> list[Case]:
    quick = np.sort(rng.uniform(0.2, 0.9, 4)).round(2).tolist()
    return [
        Case((quick, 4, 2, 10.0, 1.0), "all four have answered: why wait?"),
        Case((quick[:3], 4, 2, 10.0, 1.0), "three of four, and time is left"),
        Case((quick[:3], 4, 2, 10.0, 10.0), "three of four, and the time is over"),
        Case((quick[:2], 4, 2, 10.0, 10.5), "exactly the quorum"),
        Case((quick[:1], 4, 2, 10.0, 10.0), "one of four: too few"),
        Case(([*quick[:1], 10.0], 4, 2, 10.0, 10.3), "the second came just at the deadline"),
        Case(([], 4, 2, 10.0, 3.0), "nobody yet"),
        Case(([], 4, 1, 10.0, 10.0), "nobody at all"),
        Case(([*quick[:1], 10.4, 10.6], 4, 2, 10.0, 11.0), "two of the three came too late"),
        Case(([*quick[:3], 12.0], 4, 2, 10.0, 12.5), "the fourth came too late, three are enough"),
    ]


def _deadline(
    *,
    all_ends: bool = True,
    late_counts: bool = False,
    strict: bool = False,
    quorum_ends: bool = False,
    more: int = 0,
) -> Callable[..., str]:
    """Decide with something left out."""

    def decide(came_at: list[float], asked: int, quorum: int, deadline: float, now: float) -> str:
        last = now if late_counts else min(now, deadline)
        here = sum(moment < last if strict else moment <= last for moment in came_at)
        if (all_ends and here == asked) or (quorum_ends and here >= quorum):
            return "go"
        if now < deadline:
            return "wait"
        return "go" if here >= quorum + more else "repeat"

    return decide


_DEADLINE_SLIPS: Slips = {
    "everybody has answered: waiting on only costs time": _deadline(all_ends=False),
    "the quorum is there, but time is left: a hospital that is a little slower would never be "
    "heard": _deadline(quorum_ends=True),
    "an answer after the deadline counts as none": _deadline(late_counts=True),
    "an answer that came at the deadline came in time": _deadline(strict=True),
    "exactly the quorum is enough": _deadline(more=1),
    "fewer than the quorum: the round has to be repeated": _deadline(more=-1),
    "the time is over: a hospital that is away must not stop the others": (
        lambda came_at, asked, *_: "go" if len(came_at) == asked else "wait"
    ),
}


# --- q5: where to resume


def _resume_reference(checkpoints: list[dict[str, Any]], task: str) -> int:
    usable = [
        point["rounds_done"]
        for point in checkpoints
        if point["task"] == task and point["promised"] == point["found"]
    ]
    return max(usable, default=0) + 1


def _resume_cases(rng: np.random.Generator) -> list[Case]:
    task, other = rng.bytes(8).hex(), rng.bytes(8).hex()

    def point(done: int, whole: bool = True, task: str = task) -> dict[str, Any]:
        promised = rng.bytes(8).hex()
        found = promised if whole else rng.bytes(8).hex()
        return {"rounds_done": done, "task": task, "promised": promised, "found": found}

    last = int(rng.integers(9, 40))
    return [
        Case(([point(last - 1), point(last)], task), "two whole checkpoints"),
        Case(([point(last), point(last - 1)], task), "the same, in another order"),
        Case(([point(9), point(10)], task), "rounds 9 and 10: numbers, not text"),
        Case(([point(last - 1), point(last, whole=False)], task), "the newest is torn"),
        Case(
            ([point(last - 1), {**point(last), "found": ""}], task),
            "the newest has no arrays at all",
        ),
        Case(([point(last - 1), point(last, task=other)], task), "the newest is another task's"),
        Case(([point(last, whole=False)], task), "the only one is torn"),
        Case(([], task), "there is none: the server was killed in its first round"),
    ]


def _last_listed(checkpoints: list[dict[str, Any]], task: str) -> int:
    usable = [p for p in checkpoints if p["task"] == task and p["promised"] == p["found"]]
    return usable[-1]["rounds_done"] + 1 if usable else 1


_RESUME_SLIPS: Slips = {
    "what was found is not what was promised: that checkpoint is torn": lambda c, t: (
        max((p["rounds_done"] for p in c if p["task"] == t), default=0) + 1
    ),
    "that checkpoint is of another task": lambda c, t: (
        max((p["rounds_done"] for p in c if p["promised"] == p["found"]), default=0) + 1
    ),
    "the newest is not always the last in the list": _last_listed,
    "a torn checkpoint is no reason to start afresh: the one before it is whole": lambda c, t: (
        _resume_reference(c, t) if all(p["promised"] == p["found"] for p in c) else 1
    ),
    "this is the last round done; repeating it on top of itself counts its updates twice": (
        lambda c, t: max(1, _resume_reference(c, t) - 1)
    ),
    "this is a round too far: one would be skipped": lambda c, t: _resume_reference(c, t) + 1,
    "0 is no round: with no usable checkpoint start with round 1": lambda c, t: (
        0 if _resume_reference(c, t) == 1 else -1
    ),
}


# --- q6: what stands


def _standing_reference(events: list[dict[str, Any]]) -> dict[int, list[int]]:
    standing: dict[int, list[int]] = {}
    for line in events:
        if line["event"] == "run started":
            standing = {n: who for n, who in standing.items() if n < line["first_round"]}
        elif line["event"] == "round done":
            standing[line["round"]] = list(line["clients"])
    return standing


def _standing_cases(rng: np.random.Generator) -> list[Case]:
    def run(first: int) -> dict[str, Any]:
        return {"event": "run started", "first_round": first}

    def started(number: int) -> dict[str, Any]:
        return {"event": "round started", "round": number, "clients": [0, 1, 2, 3]}

    def done(number: int) -> dict[str, Any]:
        who = sorted(rng.choice(4, int(rng.integers(2, 5)), replace=False).tolist())
        return {"event": "round done", "round": number, "clients": who}

    def rounds(first: int, last: int) -> list[dict[str, Any]]:
        return [line for n in range(first, last + 1) for line in (started(n), done(n))]

    refused = {"event": "update rejected", "round": 2, "node": "hospital-4", "reason": "replayed"}
    return [
        Case(([run(1), *rounds(1, 3), refused],), "three rounds, no crash"),
        Case(([run(1), *rounds(1, 2), started(3), run(3), *rounds(3, 4)],), "killed in round 3"),
        Case(
            ([run(1), *rounds(1, 3), run(3), *rounds(3, 5)],),
            "killed after round 3 was logged and before it was saved: round 3 is done twice",
        ),
        Case(
            ([run(1), *rounds(1, 6), run(4), *rounds(4, 5)],),
            "taken back to round 3: rounds 4 to 6 are gone, 4 and 5 were done anew",
        ),
        Case(([run(1), *rounds(1, 4), run(2)],), "taken back to round 1, nothing done since"),
        Case(([run(1), *rounds(1, 3), run(1), *rounds(1, 1)],), "begun afresh"),
        Case(([run(1), started(1)],), "no round is done"),
    ]


def _standing_problem(args: tuple[Any, ...], got: Any) -> str | None:
    expected = _standing_reference(*args)
    if not isinstance(got, dict):
        return "return a dict: the clients of each round that stands, by its number"
    if extra := sorted(str(n) for n in got.keys() - expected.keys()):
        crash = "the run that started later began before it, so it is no part of the model"
        known = any(str(line.get("round")) == extra[0] for line in args[0])
        return f"round {extra[0]} is counted; {crash if known else 'the log has no such round'}"
    if missing := sorted(expected.keys() - got.keys()):
        return f"round {missing[0]} is done and stands, and it is left out"
    for number, clients in expected.items():
        ours = got[number]
        if not isinstance(ours, list | tuple | np.ndarray):
            return f"round {number}: a list of clients was expected"
        if sorted(np.asarray(ours).tolist()) == clients:
            continue
        # As texts, whose hashes nobody can choose: numbers can be found that all have the same.
        if len(ours) > len({str(one) for one in ours}):
            return f"round {number}: a client is counted twice; the later run replaces the round"
        first = next(e for e in args[0] if e["event"] == "round done" and e["round"] == number)
        if list(ours) == list(first["clients"]):
            return f"round {number}: these took part before the crash; the later run counts"
        named = reprlib.repr(list(ours))
        return f"round {number}: clients {named}; those that were counted are in `round done`"
    return None


DEADLINE = FunctionTask(
    "q4", "Wait, go on, or repeat", 1, _deadline_reference, _deadline_cases,
    or_explain(equal(), _DEADLINE_SLIPS),
    "Count the answers that came by the deadline. Everybody: go. Else, before the deadline: wait. "
    "After it the quorum decides.",
)  # fmt: skip
RESUME = FunctionTask(
    "q5", "Where to resume", 2, _resume_reference, _resume_cases,
    or_explain(equal(), _RESUME_SLIPS),
    "Which checkpoints are usable? The round after the newest of them; max(..., default=0).",
)  # fmt: skip
STANDING = FunctionTask(
    "q6", "What stands", 2, _standing_reference, _standing_cases, satisfies(_standing_problem),
    "Keep a dict and go through the log in order. `round done` sets an entry; `run started` takes "
    "out every round from its first_round on.",
)  # fmt: skip
