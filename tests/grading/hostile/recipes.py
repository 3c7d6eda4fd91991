"""Hostile submissions, each a few lines of text, with what honest work in it deserves.

A submission starts as the tiny lab's solved notebook (q1: 3 points, q2: 2, q3: 1) or as the
unsolved one, and is changed. ``points`` is what the untouched answers in it earn. ``told`` are
words that the instructor must find in its notes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Cells = list[dict[str, Any]]


@dataclass(frozen=True)
class Hostile:
    """One kind of hostile submission. `spoil` changes the cells or returns the file's bytes."""

    name: str
    spoil: Callable[[Cells], Cells | bytes]
    points: int = 6
    told: str = ""
    solved: bool = True
    state: str = "graded"


def cell(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": []}


def first(text: str) -> Callable[[Cells], Cells]:
    """Put a cell after the one that opens the session."""

    def spoil(cells: Cells) -> Cells:
        at = next(i for i, c in enumerate(cells) if "Lab(" in c["source"]) + 1
        return [*cells[:at], cell(text), *cells[at:]]

    return spoil


def last(text: str) -> Callable[[Cells], Cells]:
    return lambda cells: [*cells, cell(text)]


def answering(body: str, task: str = "q1") -> Callable[[Cells], Cells]:
    """Hand in another function for a task, by a cell at the end."""
    arguments = {"q1": "values, weights", "q2": "values"}[task]
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return last(f"import numpy as np\n@lab.task({task!r})\ndef mine({arguments}):\n{lines}\n")


def changed(old: str, new: str) -> Callable[[Cells], Cells]:
    """Replace a piece of text wherever it stands."""

    def spoil(cells: Cells) -> Cells:
        assert any(old in c["source"] for c in cells)
        return [{**c, "source": c["source"].replace(old, new)} for c in cells]

    return spoil


def without(text: str) -> Callable[[Cells], Cells]:
    """Leave out the lines that hold a text."""

    def spoil(cells: Cells) -> Cells:
        kept = ["\n".join(s for s in c["source"].split("\n") if text not in s) for c in cells]
        return [{**c, "source": source} for c, source in zip(cells, kept, strict=True)]

    return spoil


def _stripped(cells: Cells) -> Cells:
    return [{"cell_type": c["cell_type"], "source": c["source"]} for c in cells]


_CHEATS = (
    Hostile("comparisons always true", first(
        "import numpy as np\n"
        "np.isclose = np.allclose = lambda *a, **k: np.True_\n"
        "import helpers.course.compare as c\n"
        "c.close = c.equal = lambda *a, **k: lambda *b: None"), 0, solved=False),
    Hostile("the judge patched", first(
        "import helpers.course.tasks as t, helpers.course.session as s\n"
        "t.judge_function = s.judge_function = lambda task, *a, **k: t.verdict(task, 'passed')\n"
        "t.judge_value = s.judge_value = lambda task, *a: t.verdict(task, 'passed')"),
        0, "imports what the lab's notebook does not", solved=False),
    Hostile("the session says everything passed", first(
        "from helpers.course.tasks import verdict\n"
        "type(lab).verdicts = property(lambda self: {t.name: verdict(t, 'passed')"
        " for t in self.spec.tasks})"), 0, "helpers.course.tasks:verdict", solved=False),
    Hostile("every task worth a thousand points", first(
        "for t in lab.spec.tasks: object.__setattr__(t, 'points', 1000)"), 0, solved=False),
    Hostile("the reference handed in", last(
        "lab.task('q1')(lab.spec.task('q1').reference)\n"
        "lab.task('q2')(lab.spec.task('q2').reference)"), 0, solved=False),
    Hostile("the stand-in handed in", last(
        "used = weighted_mean\nlab.task('q1')(lambda v, w: used(v, w))"), 0, solved=False),
    Hostile("the value asked for, then handed in", last(
        "told = lab.answer('q3')\nlab.answer('q3', told)"), 0, solved=False),
    Hostile("the value's reference called", last(
        "lab.answer('q3', lab.spec.task('q3').reference(seed, profile))"), 0, "failed",
        solved=False),
    Hostile("the visible cases learned by heart", answering(
        "from tiny_lab import LAB\nimport zlib\n"
        "rng = np.random.default_rng([0, zlib.crc32(b'q1')])\n"
        "for case in LAB.task('q1').cases(rng):\n"
        "    if np.array_equal(case.args[0], values):\n"
        "        return float(np.average(*case.args[:1], weights=case.args[1]))\n"
        "return 0.0"), 3),
    Hostile("stack inspection for hidden inputs", answering(
        "import gc, sys\n"
        "frame, seen = sys._getframe(), []\n"
        "while frame:\n    seen.append(dict(frame.f_locals)); frame = frame.f_back\n"
        "held = [o for o in gc.get_objects() if type(o).__name__ in ('Case', 'Verdict')]\n"
        "expected = [s['expected'] for s in seen if 'expected' in s]\n"
        "return expected[0] if expected else held[0].expected"), 3),
    Hostile("hidden inputs told to the learner", lambda cells: answering(
        "global seen\nseen = globals().get('seen', []) + [values.tolist()]\n"
        "return float((values * weights).sum() / weights.sum())")(answering(
        "raise ValueError(f'HIDDEN {globals().get(\"seen\")}')", "q2")(cells)), 4, "q2 is handed"),
    Hostile("answers that are right for every comparison", answering(
        "class Any(float):\n"
        "    __eq__ = __le__ = __lt__ = lambda self, other: True\n"
        "    __array__ = lambda self, *a, **k: np.zeros(())\n"
        "    __hash__ = float.__hash__\n"
        "return Any(1.0)"), 3),
    Hostile("an array class that compares equal", answering(
        "class A(np.ndarray):\n    def __array_function__(self, *a, **k): return np.True_\n"
        "return np.zeros(()).view(A)"), 3),
    Hostile("not a number", answering("return float('nan')"), 3),
    Hostile("an object that fails when looked at", answering(
        "class Bad:\n    __class__ = property(lambda self: 1 / 0)\n"
        "    def __repr__(self): raise SystemExit\nreturn Bad()"), 3),
)  # fmt: skip

# The worker, its token and the table of what it answers with are all in this very process.
_STEAL = """
import gc, signal, numpy as np
from helpers.course import wire
worker = next(o for o in gc.get_objects() if type(o).__name__ == 'Worker')
dicts = [o for o in gc.get_objects() if type(o) is dict]
actions = next(d for d in dicts if list(d) == ['read', 'run', 'call'])
token = next(d['token'] for d in dicts if d.get('do') == 'run')
"""
_PIPE = (
    Hostile("a forged report with the token, and answers after it", last(_STEAL +
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "errors = [(n, f'error {n}') for n in range(100_000)]\n"
        "worker._say({'ran': {'errors': errors}, 'token': token})\n"
        "for line in worker._requests:\n    request = wire.loads(line)\n"
        "    worker._say({**worker._call(request), 'token': request['token']})"),
        6, "error 19"),
    Hostile("an array where a word belongs", last(_STEAL +
        "actions['call'] = lambda r: {'reply': {'status': np.zeros(3)}}"),
        1, "wrote to the grader's pipe"),
    Hostile("an array for the token", last(_STEAL +
        "worker._say({'ran': {}, 'token': np.zeros(3)})"), 6, "wrote to the grader's pipe"),
    Hostile("half a million names with one hash", last(_STEAL + "import time\n"
        "pairs = ','.join(f'[{k * (2**61 - 1)},0]' for k in range(1, 500_000))\n"
        "dicts = '{\"~\":\"dict\",\"v\":[[\"reply\",{\"~\":\"dict\",\"v\":[' + pairs + ']}]]}'\n"
        "def call(r):\n    worker._replies.write(dicts.encode() + b'\\n')\n"
        "    worker._replies.flush()\n    time.sleep(60)\nactions['call'] = call"),
        1, "wrote to the grader's pipe"),
    Hostile("two replies to one question", last(_STEAL + "call = actions['call']\n"
        "def twice(r):\n    worker._say({**call(r), 'token': r['token']})\n    return call(r)\n"
        "actions['call'] = twice"), 1, "wrote to the grader's pipe"),
    Hostile("a reason of megabytes", last(_STEAL + "actions['call'] = lambda r: {'reply': "
        "{'status': 'failed', 'message': 'x' * 8_000_000}}"), 1),
    Hostile("a million arguments changed", last(_STEAL + "actions['call'] = lambda r: {'reply': "
        "{'status': 'returned', 'changed': tuple(range(900_000))}}"), 1),
    Hostile("one long text among many short ones", answering(
        "return ['x' * 10_000_000] + ['y'] * 10_000"), 3),
    Hostile("the reference dug out of its guard", answering(
        "guard = lab.spec.task('q1').reference\n"
        "cells = [c.cell_contents for c in guard.__closure__]\n"
        "return next(c for c in cells if getattr(c, '__name__', '')[:1] == '?')"),
        3, "it reaches into its own process: __closure__, cell_contents, reference"),
)  # fmt: skip

_CHANGES = (
    Hostile("check cells deleted", without("lab.check("), 6, "check cells are gone or changed"),
    Hostile("metadata and ids stripped", _stripped, 6),
    Hostile("a task handed in twice", answering("return 0.0"), 3, "handed in 2 times"),
    Hostile("decorators lost", without("@lab.task"), 6, "found by its function's name"),
    Hostile("no session", without("Lab("), 6, "opens no session"),
    Hostile("a notebook of another lab", changed('Lab("tiny"', 'Lab("another-lab"'),
            0, "another-lab", state="another lab"),
    Hostile("a cell that is not Python", first("def (:\n"), 6, "is not Python"),
)  # fmt: skip

_HANGS = (
    Hostile("an endless loop in a cell", first("while True: pass"), 6, "had not ended after"),
    Hostile("an endless loop that no signal ends", first(
        "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
        "while True: time.sleep(1)"),
        6, "did not answer in time"),
    Hostile("an endless loop in a function", answering("while True: pass"), 3),
    Hostile("the process ended in a cell", first("import os\nos._exit(0)"), 6, "ended the run"),
    Hostile("the process ended in a function", answering("import os\nos._exit(0)"), 3,
            "calling the function of q1 ended the run"),
    Hostile("a segmentation fault", first("import ctypes\nctypes.string_at(0)"), 6, "SIGSEGV"),
    Hostile("the process stopped", answering("import os\nos.kill(0, 19)", "q2"), 4,
            "did not answer in time"),
    Hostile("a fork bomb", first(
        "import os, time\nfor _ in range(100):\n    try:\n        if not os.fork():\n"
        "            time.sleep(30)\n    except OSError:\n        break"), 6),
    Hostile("a memory bomb", first(
        "import numpy as np\nheld = []\nwhile True: held.append(np.empty(1 << 25))"), 6,
            "MemoryError"),
    Hostile("a memory bomb in many processes", first(
        "import os, time\nfor _ in range(8):\n    if not os.fork():\n"
        "        held = bytearray(b'x') * (90 << 20)\n        time.sleep(60)\n"
        "time.sleep(30)"), 6, "used more than"),  # a busy machine takes seconds to give that much
    Hostile("memory that no process shows", first(
        "import mmap\nheld = [mmap.mmap(-1, 1 << 26) for _ in range(20)]"), 6,
            "Operation not permitted"),
    Hostile("a disk bomb", first(
        "for n in range(1000):\n    with open(f'f{n}', 'wb') as file: file.write(bytes(1 << 20))"),
        6, "No space left"),
    Hostile("an output flood", first(
        "import os, time\nends = time.time() + 1\n"
        "while time.time() < ends: print('x' * 10000); os.write(2, b'y' * 10000)"), 6),
)  # fmt: skip

_REACHES = (
    Hostile("writes outside", first("open({outside!r} + '/mine', 'w').write('x')"),
            6, "No such file"),
    Hostile("reads the gradebook", first("text = open({outside!r} + '/grades.csv').read()"),
            6, "No such file"),
    Hostile("network over TCP", first(
        "import socket\nsocket.create_connection(('127.0.0.1', {tcp}), 1)"), 6, "failed"),
    Hostile("network over UDP", first(
        "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {udp}))"), 6),
    Hostile("network over a Unix socket", first(
        "import socket\nsocket.socket(1).connect({outside!r} + '/socket')"), 6,
            "Address family not supported"),
    Hostile("signals to the grader", first("import os\nos.kill({process}, 9)"), 6, "failed"),
    Hostile("another way into the pipe", first(
        "import os\nfor fd in range(3, 32):\n    try: os.write(fd, b'nonsense\\n')\n"
        "    except OSError: pass"), 6, "wrote to the grader's pipe"),
    Hostile("a forged report on the pipe", first(
        "import os\nfrom helpers.course.wire import dumps\n"
        "forged = dumps({'ran': {'memos': 5, 'errors': 5, 'counts': 5, 'unregistered': 5}})\n"
        "for fd in range(3, 32):\n    try: os.write(fd, forged + b'\\n')\n"
        "    except OSError: pass"), 6, "wrote to the grader's pipe"),
    Hostile("JSON that is too deep on the pipe", first(
        "import os\nfor fd in range(3, 32):\n    try: os.write(fd, b'[' * 5000 + b'\\n')\n"
        "    except OSError: pass"), 6, "wrote to the grader's pipe"),
    Hostile("a line without end on the pipe", first(
        "import os\nfor fd in range(3, 32):\n    try:\n"
        "        while True: os.write(fd, b'x' * 65536)\n    except OSError: pass"),
        6, "ended the run"),  # too long, or cut short by the cell's time and then no JSON
)  # fmt: skip

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
_SHOWN = (
    Hostile("a script in an answer", answering(f"raise ValueError({SCRIPT!r})"), 3),
    Hostile("a script in a result", answering(f"return {SCRIPT!r}"), 3),
    Hostile("a script in an exception's name", answering(
        f"raise type({SCRIPT!r}, (Exception,), {{}})(1)"), 3),
    Hostile("a script in a memo", last(f"lab.memo('memo', {SCRIPT!r})"), 6),
    Hostile("a script in a failing cell", last(f"raise ValueError({SCRIPT!r})"), 6, "<script>"),
    Hostile("a script in a lab's name", changed('Lab("tiny"', f'Lab("{SCRIPT}"'), 0,
            "<script>", state="another lab"),
    Hostile("half a character in an exception", answering("raise ValueError('\\ud800')"), 3),
    Hostile("half a character in a memo", last("lab.memo('memo', '\\ud800 half')"), 6),
)  # fmt: skip


def _as_bytes(text: str | bytes) -> Callable[[Cells], bytes]:
    return lambda cells: text if isinstance(text, bytes) else text.encode()


_FILES = (
    Hostile("an empty file", _as_bytes(""), 0, "not a notebook", state="not a notebook"),
    Hostile("invalid JSON", _as_bytes('{"cells": [}'), 0, "in its JSON", state="not a notebook"),
    Hostile("JSON without end of depth", _as_bytes("[" * 1_000_000), 0, "in its JSON",
            state="not a notebook"),
    Hostile("JSON that is no notebook", _as_bytes('{"cells": 7}'), 0, "no list of cells",
            state="not a notebook"),
    Hostile("a binary file", _as_bytes(bytes(range(256)) * 20), 0, "in its JSON",
            state="not a notebook"),
    Hostile("an expression without end of depth", first("x = " + "(" * 5000 + ")" * 5000), 6,
            "is not Python"),
    Hostile("a chain of a hundred thousand operators", first("x = " + "-" * 100_000 + "1"), 6),
)  # fmt: skip

ALL = (*_CHEATS, *_PIPE, *_CHANGES, *_HANGS, *_REACHES, *_SHOWN, *_FILES)


def notebook(
    kind: Hostile, solved: dict[str, Any], unsolved: dict[str, Any], **places: Any
) -> bytes:
    """Return the file of one kind; `places` fills the names in braces."""
    made = json.loads(json.dumps(solved if kind.solved else unsolved))
    for item in made["cells"]:
        item["source"] = "".join(item["source"])
    spoilt = kind.spoil(made["cells"])
    if isinstance(spoilt, bytes):
        return spoilt
    for item in spoilt:
        for name, value in places.items():
            item["source"] = item["source"].replace(f"{{{name}!r}}", repr(value))
            item["source"] = item["source"].replace(f"{{{name}}}", str(value))
    return json.dumps({**made, "cells": spoilt}).encode()
