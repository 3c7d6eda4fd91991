"""The record: it shows what was changed, and nothing makes the desk pay or answer twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from helpers.errors import PrivacyError
from helpers.privacy.data_site import Anchor, Count, DataSite, Sum, check_chain
from helpers.privacy.data_site import site as site_module
from helpers.privacy.ledger import Charge, PrivacyLedger
from tests.privacy.desk import TABLE, approved, new_site, older_than, reopened

# --- the log


def test_every_step_is_in_the_log_and_no_exact_value_is(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    release = site.release(approved(site, Sum("age"), 0.5), "ana")
    site.deny(site.submit("bo", Count(), 0.1, "why not"), "owner", "no need")
    entries = site.log()
    assert [(entry.actor, entry.event) for entry in entries] == [
        ("owner", "created"),
        ("ana", "asked"),
        ("owner", "approved"),
        ("ana", "answered"),
        ("bo", "asked"),
        ("owner", "denied"),
    ]
    assert entries[3].details["answer"] == release.answer
    assert str(int(TABLE["age"].sum())) not in "".join(entry.content for entry in entries)
    check_chain(entries, [release.anchor])


def tamper(path: Path, statement: str) -> None:
    with sqlite3.connect(path / "site.db") as connection:
        for trigger in ("keep", "fix"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET content = replace(content, '0.5', '0.1') WHERE position = 4",
        "UPDATE log SET content = replace(content, '1.0', '9.0') WHERE position = 1",
        "UPDATE log SET actor = 'bo' WHERE position = 2",
        "UPDATE log SET time = '1999' WHERE position = 3",
        "DELETE FROM log WHERE position = 4",
        "DELETE FROM log WHERE position = 1",
        "DELETE FROM log",
        "INSERT INTO log SELECT 9, time, actor, event, content, hash FROM log WHERE position = 3",
    ],
)
def test_a_log_that_was_altered_stops_the_site(tmp_path: Path, statement: str) -> None:
    site = new_site(tmp_path)
    site.release(approved(site, older_than(60), 0.5), "ana")
    site.submit("ana", older_than(70), 0.25, "more")
    tamper(tmp_path, statement)
    for act in (lambda: site.spent, lambda: site.release(1, "ana"), lambda: reopened(tmp_path)):
        with pytest.raises(PrivacyError, match=r"altered|emptied"):
            act()


def test_the_database_itself_refuses_to_change_an_entry(tmp_path: Path) -> None:
    new_site(tmp_path)
    for statement in ("DELETE FROM log", "UPDATE log SET actor = 'x'"):
        with (
            sqlite3.connect(tmp_path / "site.db") as connection,
            pytest.raises(sqlite3.IntegrityError, match="only grows"),
        ):
            connection.execute(statement)


def test_only_an_anchor_shows_that_the_end_was_cut_off(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    release = site.release(approved(site, older_than(60), 0.5), "ana")
    site.check_log([release.anchor])
    tamper(tmp_path, "DELETE FROM log WHERE position = 4")
    assert site.spent == 0  # the chain that is left is whole: the budget is back
    with pytest.raises(PrivacyError, match="entry 4 is not the one that was seen"):
        site.check_log([release.anchor])
    with pytest.raises(PrivacyError, match="was rewritten"):
        site.check_log([Anchor(1, "0" * 64)])


# --- many at once, and crashes


def test_answers_asked_for_at_the_same_time_cannot_overspend(tmp_path: Path) -> None:
    site = new_site(tmp_path, epsilon=0.5, randbelow=random.SystemRandom().randrange)
    numbers = [approved(site, older_than(age), 0.1) for age in range(12)]
    sites = [reopened(tmp_path) for _ in range(4)]

    def collect(index: int) -> str:
        try:
            sites[index % 4].release(numbers[index % 12], "ana")
        except PrivacyError as refused:
            return str(refused)
        return "answered"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(collect, range(24)))  # each question twice
    refusals = [outcome for outcome in outcomes if outcome != "answered"]
    assert len(refusals) == 16
    assert all("would bring the spending" in refusal for refusal in refusals)
    answered = [request for request in site.requests if request.status == "answered"]
    charged = [entry for entry in site.log() if entry.event == "answered"]
    assert len(answered) == len(charged) == 4  # 0.1 each and the accountant's own slack
    assert site.spent <= 0.5
    site.check_log()


def reopened_after_a_crash_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[DataSite, int]:
    """A site whose process ended in mid-release, and the number of the request."""
    site = new_site(tmp_path)
    number = approved(site, older_than(60), 0.5)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(site_module, name, crash)
        with pytest.raises(KeyboardInterrupt):
            site.release(number, "ana")
    return reopened(tmp_path), number


def test_a_crash_before_the_record_charges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, number = reopened_after_a_crash_in("noisy_answer", tmp_path, monkeypatch)
    assert again.spent == 0
    assert again.release(number, "ana").epsilon == 0.5


def test_a_crash_after_the_record_returns_the_recorded_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, number = reopened_after_a_crash_in("recorded_release", tmp_path, monkeypatch)
    assert again.spent == pytest.approx(0.5, abs=0.01)
    recorded = again.log()[-1].details["answer"]
    assert again.release(number, "ana").answer == recorded
    assert again.spent == pytest.approx(0.5, abs=0.01)


WORKER = """
import sys, numpy as np
from helpers.privacy.data_site import Column, Count, DataSite, Schema, Where
table = {
    "age": np.arange(1_000) % 90,
    "ward": np.where(np.arange(1_000) % 4 == 0, "A", "B"),
}
site = DataSite.open(sys.argv[1], table)
for request in site.requests:
    release = site.release(request.number, "ana")
    print(request.number, release.answer, flush=True)
"""


def test_killed_at_any_moment_it_never_pays_twice_or_answers_anew(tmp_path: Path) -> None:
    site = new_site(tmp_path, epsilon=5.0)
    for age in range(40):
        approved(site, older_than(age), 0.1)
    seen: dict[int, float] = {}
    for wanted in (1, 5, 12):
        worker = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(tmp_path / "site.db")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert worker.stdout is not None
        lines = [worker.stdout.readline() for _ in range(wanted)]
        os.kill(worker.pid, signal.SIGKILL)
        lines += worker.stdout.readlines()
        worker.wait()
        for line in lines:
            number, answer = line.split()
            assert seen.setdefault(int(number), float(answer)) == float(answer)
    again = reopened(tmp_path)
    charged = [entry.details["request"] for entry in again.log() if entry.event == "answered"]
    assert len(charged) == len(set(charged))
    assert set(seen) <= set(charged)
    ledger = PrivacyLedger(100, 1e-6)
    ledger.charge(Charge(10.0, steps=len(charged), noise="laplace"))
    assert again.spent == pytest.approx(ledger.spent)
