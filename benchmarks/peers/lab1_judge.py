"""The checks of lab 1 as a test inside the notebook: what the test cells of the peers import.

They judge as ``edgesec grade`` does, by the same visible and hidden cases, but in the process of
the submission: that is where nbgrader and otter-grader run their tests.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.checks.train_across_devices import LAB
from helpers.course.tasks import Reply, judge_function
from helpers.course.wire import plain


def passes(task: str, function: Callable[..., Any]) -> bool:
    """Say whether a function passes the cases of a task, with the seed of the benchmark."""
    check, name = LAB.task(task), zlib.crc32(task.encode())
    for seeds in ([0, name], [int(os.environ["BENCHMARK_SEED"]), name, 1, 0]):

        def call(args: tuple[Any, ...], limit: float) -> Reply:
            return Reply("returned", plain(function(*args)))

        rng = np.random.default_rng(seeds)
        if judge_function(check, call, rng).status != "passed":  # type: ignore[arg-type]
            return False
    return True
