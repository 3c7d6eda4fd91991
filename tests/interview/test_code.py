"""A candidate's code runs in the sandbox, and its scores are made outside."""

from __future__ import annotations

import pytest

from helpers.interview import Outside, Question
from helpers.interview.checking import expected_results
from helpers.interview.question import Code
from helpers.interview.scoring import judge_cases

KEPT = "v = sorted(values)[byzantine:len(values) - byzantine]"


@pytest.fixture(scope="session")
def code(bank: dict[str, Question]) -> Code:
    found = bank["write-a-trimmed-mean"].code
    assert found is not None
    return found


def points(source: str, code: Code, outside: Outside) -> float:
    expected = expected_results(code, outside.calculate)
    return judge_cases(outside.run_code(source, code), expected, code).points


@pytest.mark.parametrize(
    ("body", "earned"),
    [
        (f"import numpy as np; {KEPT}; return np.mean(v)", 1.0),
        (f"print('noise on the pipe'); {KEPT}; return sum(v) / len(v)", 1.0),
        ("v = sorted(values)[byzantine:-byzantine]; return sum(v) / len(v)", 0.6),
        ("return sum(values) / len(values)", 0.4),
        ("return float('nan')", 0.0),
        ("return 10**400", 0.0),
        ("return values", 0.0),
        ("return object()", 0.0),
        ("raise SystemExit(0)", 0.0),
        ("import os; os._exit(0)", 0.0),
        ("import sys; sys.stdout.write('[{\"value\": 3.0}]' * 5); return None", 0.0),
        ("import helpers.course.interview_answers as a; return 0.0", 0.0),
    ],
)  # fmt: skip
def test_code_earns_what_it_deserves(
    body: str, earned: float, code: Code, outside: Outside
) -> None:
    source = f"def trimmed_mean(values, byzantine):\n    {body}\n"
    assert points(source, code, outside) == pytest.approx(earned)


def test_code_that_hangs_or_does_not_parse_is_only_wrong(
    code: Code, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helpers.course.interview._SECONDS", 2.0)
    for source in ("while True: pass", "def trimmed_mean(", "x = 1", "def trimmed_mean(): pass"):
        results = outside.run_code(source, code)
        assert len(results) == len(code.cases)
        assert all("problem" in result for result in results)


def test_code_sees_neither_the_disk_nor_the_network(
    code: Code, outside: Outside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("home") / "secret"
    secret.write_text("s")
    source = (
        "def trimmed_mean(values, byzantine):\n"
        "    import socket\n"
        "    found = []\n"
        f"    try: open({str(secret)!r}); found.append('disk')\n"
        "    except OSError: pass\n"
        "    try: socket.create_connection(('127.0.0.1', 22), 1); found.append('net')\n"
        "    except OSError: pass\n"
        "    return found\n"
    )
    assert [result.get("value") for result in outside.run_code(source, code)] == [[]] * 5
