"""Inside the sandbox: define a candidate's function, call it on each case, and say what came.

Runs as ``python -P -m helpers.course.interview_worker``. One line of JSON comes in, one goes out::

    {"source": text, "name": text, "cases": [[...], ...]}  ->  [{"value": ...} or {"problem": ...}]

Nothing here is trusted: the code runs in this very process. The right results are not here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any


def outcomes(source: str, name: str, cases: list[list[Any]]) -> list[dict[str, Any]]:
    """Run the source and return one outcome a case."""
    names: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(source, "<answer>", "exec"), names)
        function = names[name]
    except BaseException as error:
        problem = f"the code does not run: {_described(error)}"
        return [{"problem": problem} for _ in cases]
    return [_outcome(function, case) for case in cases]


def _outcome(function: Any, case: list[Any]) -> dict[str, Any]:
    try:
        value = function(*case)
        value = value.tolist() if hasattr(value, "tolist") else value
        json.dumps(value, allow_nan=False)
    except BaseException as error:
        return {"problem": f"raised {_described(error)}"}
    return {"value": value}


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def main() -> None:
    """Answer one request; what the candidate prints goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        request = json.loads(sys.stdin.readline())
        found = outcomes(request["source"], request["name"], request["cases"])
        with contextlib.suppress(BrokenPipeError):
            answer.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
