"""What a drawing alone tells: letters, crossings, unanswered questions: q1, q2, q5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, equal, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.threats.vocabulary import KINDS, PROTOCOLS
from helpers.threats.zero_trust import TENETS as QUESTIONS

# --- q1: the letters of each shape

_OF_SHAPE = {"process": "STRIDE", "store": "TRID", "flow": "TID", "external": "SR"}
_WHY_NOT = {
    "external": "whoever is outside can be impersonated and can deny, and is not ours to protect",
    "store": "a store is read, changed, deleted, and who did it can be in doubt; it does not act",
    "flow": "a flow is read, changed or cut; what acts is at its ends",
    "process": "a process has all six",
}


def _letters_reference(kinds: dict[str, str], flows: list[str]) -> dict[str, str]:
    found = {name: _OF_SHAPE[KINDS[kind].shape] for name, kind in kinds.items()}
    return found | dict.fromkeys(flows, _OF_SHAPE["flow"])


def _letters_cases(rng: np.random.Generator) -> list[Case]:
    every = {f"part-{n}": kind for n, kind in enumerate(rng.permutation(list(KINDS)).tolist())}
    return [
        Case(({"camera": "sensor", "card": "store"}, ["frames"]), "a process, a store, a flow"),
        Case(({"owner": "external-party", "guard": "operator"}, []), "two people"),
        Case((every, ["up", "down"]), "every kind there is"),
    ]


def _letters_problem(args: tuple[Any, ...], got: Any) -> str | None:
    kinds, flows = args
    expected = _letters_reference(kinds, flows)
    if not isinstance(got, dict):
        return "return a dict: the letters of each element and flow, by its name"
    if missing := [name for name in expected if name not in got]:
        what = "a flow is threatened too" if missing[0] in flows else "each element has letters"
        return f"{missing[0]} is left out: {what}"
    if more := [str(name) for name in got if name not in expected]:
        return f"{more[0]} is neither an element nor a flow of this model"
    for name, letters in expected.items():
        found = {one for one in "".join(got[name]).upper() if one.isalpha()}
        if found != set(letters):
            shape = "flow" if name in flows else KINDS[kinds[name]].shape
            described = "flow" if name in flows else f"{kinds[name]}, a {shape}"
            wrong = "".join(sorted(found ^ set(letters)))
            return f"{name} ({described}): look at {wrong} again; {_WHY_NOT[shape]}"
    return None


# --- q2: who stands at a boundary


def _crossings_reference(
    zone_of: dict[str, str], trust: dict[str, int], flows: dict[str, Any]
) -> dict[str, int]:
    return {
        name: min(trust[zone_of[source]], trust[zone_of[target]])
        for name, (source, target) in flows.items()
        if zone_of[source] != zone_of[target]
    }


def _crossings_cases(rng: np.random.Generator) -> list[Case]:
    zones = {"lamp": "home", "hub": "home", "api": "cloud", "store": "cloud", "key": "vault"}
    trust = {"home": 25, "cloud": 75, "vault": 100}
    names = list(zones)
    pairs = [rng.choice(names, 2, replace=False).tolist() for _ in range(8)]
    return [
        Case(
            (zones, trust, {"a": ["lamp", "hub"], "up": ["hub", "api"], "down": ["api", "hub"]}),
            "one stays, two leave their zone",
        ),
        Case((zones, trust, {"sign": ["key", "api"], "read": ["store", "api"]}), "behind the door"),
        Case(
            (
                zones | {"shop": "partner"},
                trust | {"partner": 75},
                {"sell": ["shop", "api"], "up": ["hub", "api"], "down": ["api", "hub"]},
            ),
            "two zones that are trusted alike are still two",
        ),
        Case((zones, trust, {f"flow-{n}": pair for n, pair in enumerate(pairs)}), "eight flows"),
    ]


def _crossings(
    pick: Callable[..., int] = min, leaves: Callable[[str, str, dict[str, int]], bool] | None = None
) -> Callable[..., dict[str, int]]:
    """Find crossings with something exchanged."""

    def find(zone_of: dict[str, str], trust: dict[str, int], flows: dict[str, Any]) -> Any:
        test = leaves or (lambda a, b, _: a != b)
        return {
            name: pick(trust[zone_of[source]], trust[zone_of[target]])
            for name, (source, target) in flows.items()
            if test(zone_of[source], zone_of[target], trust)
        }

    return find


_CROSSINGS_SLIPS: Slips = {
    "a boundary is only as good as its less trusted side: the smaller number": _crossings(max),
    "this is the trust of the sender; the less trusted of both ends counts": _crossings(
        lambda a, b: a
    ),
    "this is the trust of the receiver; the less trusted of both ends counts": _crossings(
        lambda a, b: b
    ),
    "a flow from less trusted to more trusted crosses too, and the other way round": _crossings(
        leaves=lambda a, b, trust: trust[a] > trust[b]
    ),
    "what leaves for a less trusted zone crosses too": _crossings(
        leaves=lambda a, b, trust: trust[a] < trust[b]
    ),
    "two zones can be trusted alike and still be two: compare the zones, not the trust": _crossings(
        leaves=lambda a, b, trust: trust[a] != trust[b]
    ),
    "a flow inside one zone crosses nothing": _crossings(leaves=lambda *_: True),
}

# --- q5: what nobody answers


def _tenets_reference(protocol: str, on_flow: list[str], at_receiver: list[str]) -> list[str]:
    there = {*PROTOCOLS[protocol].provides, *on_flow, *at_receiver}
    return [tenet.name for tenet in QUESTIONS if not there & set(tenet.answered_by)]


def _tenets_cases(rng: np.random.Generator) -> list[Case]:
    every = sorted({control for tenet in QUESTIONS for control in tenet.answered_by})
    drawn = rng.choice(every, 2, replace=False).tolist()
    return [
        Case(("ble", [], []), "nothing is in place"),
        Case(("https", [], []), "the protocol brings encryption, and no proof of the sender"),
        Case(("mutual-tls", [], []), "the protocol brings two answers"),
        Case(("http", ["signed-messages"], []), "any one of the controls of a row is enough"),
        Case(("https", ["authorisation"], ["revocation"]), "the receiver answers one"),
        Case(("mqtts", drawn[:1], drawn[1:]), "drawn at random"),
        Case(("mutual-tls", ["authorisation", "scoped-credentials", "revocation"], []), "none"),
    ]


def _unanswered(there: Callable[..., set[str]], every: bool = False) -> Callable[..., list[str]]:
    def ask(protocol: str, on_flow: list[str], at_receiver: list[str]) -> list[str]:
        has = there(set(PROTOCOLS[protocol].provides), set(on_flow), set(at_receiver))
        return [
            tenet.name
            for tenet in QUESTIONS
            if (set(tenet.answered_by) - has if every else not has & set(tenet.answered_by))
        ]

    return ask


_TENETS_SLIPS: Slips = {
    "the protocol brings controls too: PROVIDES": _unanswered(lambda p, f, r: f | r),
    "the receiver's controls answer too": _unanswered(lambda p, f, r: p | f),
    "the flow's own controls answer too": _unanswered(lambda p, f, r: p | r),
    "one control of a row is enough; this asks for all of them": _unanswered(
        lambda p, f, r: p | f | r, every=True
    ),
    "these are the answered ones; return those that nothing answers": lambda p, f, r: [
        tenet.name for tenet in QUESTIONS if tenet.name not in _tenets_reference(p, f, r)
    ],
}

LETTERS = FunctionTask(
    "q1", "The letters of each shape", 1, _letters_reference, _letters_cases,
    satisfies(_letters_problem),
    "SHAPE_OF gives the shape of a kind; write down the letters of each of the four shapes once.",
)  # fmt: skip
CROSSINGS = FunctionTask(
    "q2", "Who stands at the boundary", 1, _crossings_reference, _crossings_cases,
    or_explain(equal(), _CROSSINGS_SLIPS),
    "A flow crosses if its two ends stand in different zones. Of the two trusts take the smaller.",
)  # fmt: skip
TENETS = FunctionTask(
    "q5", "What no control answers", 1, _tenets_reference, _tenets_cases,
    or_explain(equal(), _TENETS_SLIPS),
    "Put all controls that are there into one set, from three places. A question is answered if "
    "that set and the controls of its row have one in common.",
)  # fmt: skip
