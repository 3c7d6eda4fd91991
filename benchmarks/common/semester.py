"""A semester's submissions of lab 1: right, wrong, empty, slow and crashing answers, by a seed.

Every learner has a skill, every exercise a difficulty; from both follows whether an answer is
right. The same answers are written as the lab's notebook, under the names that Canvas and Moodle
export, and as the bare notebooks that the peers grade.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from helpers.course import generate, source
from helpers.course.catalogue import files

ROOT = Path(__file__).parents[2]
TASKS = ("q1", "q2", "q3", "q4", "q5", "q6", "q7")
_DIFFICULTY = (0.0, 0.6, -0.6, -0.4, -0.8, 0.2, 0.4)
_HOLE = "    raise NotImplementedError"
_KINDS = {"ends its process": 0.01, "endless loop": 0.007, "damaged file": 0.007, "untouched": 0.03}

# Bodies of functions: right in another way than the course's, and wrong as people are wrong.
_RIGHT = {
    "q1": """
owner = np.empty(len(labels), int)
for label in np.unique(labels):
    where = np.flatnonzero(labels == label)
    rng.shuffle(where)
    ends = np.round(np.cumsum(rng.dirichlet(np.full(num_clients, alpha))) * len(where)).astype(int)
    ends[-1] = len(where)
    owner[where] = np.repeat(np.arange(num_clients), np.diff(ends, prepend=0))
return [np.flatnonzero(owner == client) for client in range(num_clients)]""",
    "q3": """
total = float(sum(num_examples))
kernels = sum(n * update[0] for update, n in zip(updates, num_examples)) / total
return [kernels, sum(n * update[1] for update, n in zip(updates, num_examples)) / total]""",
    "q5": "return float(np.mean(sorted(accuracies)[: max(len(accuracies) // 10, 1)]))",
    "q7": "return np.asarray(bias_update) / learning_rate + np.full(len(bias_update), "
    "1 / len(bias_update))",
}
_WRONG = {
    "q1": (
        "return np.array_split(rng.permutation(len(labels)), num_clients)",
        """
shares = rng.dirichlet([alpha] * num_clients)
cuts = (np.cumsum(shares)[:-1] * len(labels)).astype(int)
return np.split(rng.permutation(len(labels)), cuts)""",
    ),
    "q2": (
        """
for batch in batches:
    error = softmax_regression.probabilities(x[batch] @ kernel + bias)
    error = error - np.eye(len(bias))[y[batch]]
return -learning_rate * x[batch].T @ error / len(batch), -learning_rate * error.mean(axis=0)""",
        """
k, b = kernel, bias
for batch in batches:
    error = softmax_regression.probabilities(x[batch] @ k + b) - np.eye(len(bias))[y[batch]]
    k, b = k - learning_rate * x[batch].T @ error, b - learning_rate * error.sum(axis=0)
return k - kernel, b - bias""",
    ),
    "q3": ("return [np.mean(parts, axis=0) for parts in zip(*updates)]",),
    "q4": (
        """
values = sum(np.prod(shape) for shape in weight_shapes)
return float(values * bytes_per_value * rounds * clients_per_round / num_clients)""",
        "return float(2 * sum(np.prod(s) for s in weight_shapes) * bytes_per_value * rounds)",
    ),
    "q5": ("return float(np.min(accuracies))", "return float(np.quantile(accuracies, 0.1))"),
    "q6": ("return kernel_update / bias_update", "return (kernel_update / bias_update).T"),
    "q7": ("return bias_update / learning_rate",),
}
_RAISES = "result = answer_i_renamed\nreturn result"
_ENDLESS = "count = 0\nwhile count >= 0:\n    count += 1\nreturn count"


@dataclass(frozen=True)
class Learner:
    """One submission: who, as what kind, and the body of each function; None leaves it empty."""

    number: int
    kind: str
    bodies: Mapping[str, str | None]

    @property
    def name(self) -> str:
        """The name of its file, as the platform exports it."""
        user, nth = 10_000 + self.number, 500_000 + 7 * self.number
        if self.number % 3 == 2:
            return f"Learner {self.number}_{user}_assignsubmission_file_/01-train-across.ipynb"
        late = "_LATE" if self.number % 11 == 3 else ""
        return f"learner{self.number}{late}_{user}_{nth}_01-train-across-devices.ipynb"


@cache
def _cells(solved: bool) -> tuple[dict[str, Any], ...]:
    (lab,) = files(ROOT, ("1",))
    made = generate.notebook(source.read(lab.solution), ROOT, solved=solved)
    content = json.loads(generate.dumps(made))
    for cell in content["cells"]:
        cell["source"] = "".join(cell["source"])
    return tuple(content["cells"])


def _task_cell(task: str, solved: bool) -> str:
    mark = f'@lab.task("{task}")'
    return next(str(c["source"]) for c in _cells(solved) if c["source"].startswith(mark))


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.strip().split("\n"))


def solution(task: str) -> str:
    """Return the body of the course's own function."""
    head = _task_cell(task, solved=False).rstrip().removesuffix(_HOLE.strip()).rstrip()
    body = _task_cell(task, solved=True).rstrip().removeprefix(head)
    return "\n".join(line.removeprefix("    ") for line in body.strip("\n").split("\n"))


def function(task: str, body: str | None) -> str:
    """Return the cell of a task with a body, without its decorator; an empty one as it was."""
    cell = _task_cell(task, solved=False).rstrip().partition("\n")[2]
    return cell if body is None else cell.removesuffix(_HOLE) + _indented(body)


def semester(count: int, seed: int) -> list[Learner]:
    """Draw the submissions of a semester."""
    rng = np.random.default_rng(seed)
    return [_learner(number, rng) for number in range(count)]


def _learner(number: int, rng: np.random.Generator) -> Learner:
    skill, chance = rng.normal(1.0, 1.2), rng.random()
    kind = "ordinary"
    for name, share in _KINDS.items():
        if 0 <= chance < share:
            kind = name
        chance -= share
    bodies = {
        task: _body(task, skill - hard, rng) for task, hard in zip(TASKS, _DIFFICULTY, strict=True)
    }
    if kind == "untouched":
        bodies = dict.fromkeys(TASKS)
    elif kind == "endless loop":
        bodies[TASKS[int(rng.integers(len(TASKS)))]] = _ENDLESS
    return Learner(number, kind, bodies)


def _body(task: str, ease: float, rng: np.random.Generator) -> str | None:
    if rng.random() < 1 / (1 + np.exp(-1.5 * ease)):
        own = _RIGHT.get(task) if rng.random() < 0.5 else None
        return own or solution(task)
    draw = rng.random()
    if draw < 0.35:
        return None
    return _RAISES if draw < 0.45 else str(rng.choice(_WRONG[task]))


def _file(learner: Learner, content: dict[str, Any]) -> str:
    text = json.dumps(content)
    return text[: len(text) // 2] if learner.kind == "damaged file" else text


def write_notebooks(learners: Sequence[Learner], folder: Path) -> None:
    """Write each submission as the lab's own notebook, under its platform's name."""
    for learner in learners:
        cells = [dict(cell) for cell in _cells(solved=False)]
        for cell in cells:
            for task in TASKS:
                if cell["source"].startswith(f'@lab.task("{task}")'):
                    code = function(task, learner.bodies[task])
                    cell["source"] = f'@lab.task("{task}")\n{code}'
        if learner.kind == "ends its process":
            cells = _with_end(cells, lambda cell: cell["source"].startswith('@lab.task("q4")'))
        path = folder / learner.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_file(learner, {"cells": cells, "nbformat": 4, "nbformat_minor": 5,
                                        "metadata": {}}))  # fmt: skip


def write_bare(
    learner: Learner, path: Path, given: dict[str, Any], task_of: Callable[[Any], str]
) -> None:
    """Write a submission into a peer's notebook, in the cells that `task_of` names."""
    cells = [dict(cell) for cell in given["cells"]]
    for cell in cells:
        task = task_of(cell)
        if task:
            cell["source"] = function(task, learner.bodies[task])
    if learner.kind == "ends its process":
        cells = _with_end(cells, lambda cell: task_of(cell) == "q4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_file(learner, {**given, "cells": cells}))


def _with_end(
    cells: list[dict[str, Any]], here: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Put before a cell one that ends the process, as a crash in a library would."""
    at = next(number for number, cell in enumerate(cells) if here(cell))
    end: dict[str, Any] = {
        "cell_type": "code", "id": "ends-here", "metadata": {}, "outputs": [],
        "execution_count": None, "source": "import os\n\nos._exit(1)",
    }  # fmt: skip
    return [*cells[:at], end, *cells[at:]]
