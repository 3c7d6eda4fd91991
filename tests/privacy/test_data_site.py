"""The desk: who may do what, what it costs, and that nothing makes it pay or answer twice."""

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

import numpy as np
import pytest

from helpers.errors import PrivacyError
from helpers.privacy.data_site import (
    Anchor,
    Column,
    Count,
    DataSite,
    Histogram,
    Mean,
    Query,
    Schema,
    Sum,
    Where,
    check_chain,
)
from helpers.privacy.data_site import site as site_module
from helpers.privacy.ledger import Charge, PrivacyLedger

SCHEMA = Schema(
    "patients",
    (
        Column("age", low=0, high=120, resolution=1),
        Column("ward", categories=("A", "B")),
    ),
)
TABLE = {
    "age": np.arange(1_000) % 90,
    "ward": np.where(np.arange(1_000) % 4 == 0, "A", "B"),
}


def new_site(path: Path, epsilon: float = 1.0, **settings: Any) -> DataSite:
    settings = {"randbelow": random.Random(0).randrange, **settings}
    return DataSite.create(path / "site.db", TABLE, SCHEMA, epsilon, 1e-6, **settings)


def reopened(path: Path, **settings: Any) -> DataSite:
    return DataSite.open(path / "site.db", TABLE, **settings)


def approved(site: DataSite, query: Query, epsilon: float, researcher: str = "ana") -> int:
    number = site.submit(researcher, query, epsilon, "a study")
    site.approve(number, "owner")
    return number


def older_than(age: int) -> Count:
    return Count(where=(Where("age", ">", age),))


# --- asking and answering


def test_a_request_is_reviewed_answered_and_charged(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    ana = site.researcher("ana")
    number = ana.ask(older_than(60), 0.5, "how many are old")
    assert site.spent == 0
    assessed = site.assess(number)
    assert assessed.fits
    site.approve(number, "owner")
    release = ana.collect(number)
    exact = int(np.sum(TABLE["age"] > 60))
    assert release.answer == release.parts[0].values[0]
    assert abs(float(release.parts[0].values[0]) - exact) < 30
    assert release.answer == round(float(release.parts[0].values[0]))  # a count of whole people
    ledger = PrivacyLedger(10, 1e-6)
    ledger.charge(Charge(2.0, noise="laplace"))
    assert site.spent == pytest.approx(ledger.spent)
    assert site.spent == pytest.approx(assessed.spent_after)
    assert [request.status for request in ana.requests] == ["answered"]


@pytest.mark.parametrize(
    ("query", "exact"),
    [
        (older_than(44), [int(np.sum(TABLE["age"] > 44))]),
        (Sum("age"), [int(TABLE["age"].sum())]),
        (Histogram("ward"), [250, 750]),
    ],
)
def test_the_noise_of_answers_has_the_scale_that_is_charged(
    tmp_path: Path, query: Query, exact: list[int]
) -> None:
    site, epsilon = new_site(tmp_path), 0.4
    resolved = query.resolved(SCHEMA)
    part = resolved.parts(SCHEMA.checked(TABLE), SCHEMA)[0]
    from helpers.privacy.data_site.answering import exact as as_fraction
    from helpers.privacy.data_site.answering import noisy_answer

    table = SCHEMA.checked(TABLE)
    drawn = [
        noisy_answer(resolved, table, SCHEMA, as_fraction(epsilon), site._randbelow)[1][0].values
        for _ in range(800)
    ]
    noise = np.array(drawn) - exact
    scale = part.sensitivity * part.unit / epsilon
    # the mean absolute value of Laplace noise is its scale, with a deviation of scale / sqrt(n)
    assert np.abs(noise).mean() == pytest.approx(scale, rel=5 / np.sqrt(noise.size))
    assert abs(noise.mean()) < 5 * np.sqrt(2) * scale / np.sqrt(noise.size)


def test_a_mean_costs_two_releases_of_half_its_epsilon(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    release = site.release(approved(site, Mean("age"), 0.5), "ana")
    ledger = PrivacyLedger(10, 1e-6)
    ledger.charge(Charge(4.0, steps=2, noise="laplace"))
    assert site.spent == pytest.approx(ledger.spent)
    assert release.answer == pytest.approx(TABLE["age"].mean(), abs=5)


def test_the_same_question_gets_the_recorded_answer_and_is_not_charged_again(
    tmp_path: Path,
) -> None:
    site = new_site(tmp_path)
    first = site.release(approved(site, older_than(60), 0.5), "ana")
    spent = site.spent
    again = site.release(1, "ana")
    repeated = approved(site, Count(where=(Where("age", ">", 60.0),)), 0.5, "bo")
    assert site.assess(repeated).recorded
    assert first == again == site.release(repeated, "bo")
    assert site.spent == spent
    other = site.release(approved(site, older_than(60), 0.25), "ana")
    assert site.spent > spent
    assert other != first


def test_another_site_draws_other_noise(tmp_path: Path) -> None:
    answers = set()
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        site = DataSite.create(tmp_path / name / "site.db", TABLE, SCHEMA, 1.0, 1e-6)
        answers.add(site.release(approved(site, Sum("age"), 0.1), "ana").answer)
    assert len(answers) == 4


def test_an_answer_that_the_budget_does_not_allow_is_refused_and_costs_nothing(
    tmp_path: Path,
) -> None:
    site = new_site(tmp_path, epsilon=1.0)
    site.release(approved(site, older_than(60), 0.7), "ana")
    spent, entries = site.spent, len(site.log())
    number = approved(site, older_than(70), 0.7)
    assert not site.assess(number).fits
    with pytest.raises(PrivacyError, match=r"Request 2 would bring the spending from 0\.7\d* to 1"):
        site.release(number, "ana")
    assert site.spent == spent
    assert [entry.event for entry in site.log()[entries:]] == ["asked", "approved"]
    site.release(approved(site, older_than(70), 0.2), "ana")
    assert spent < site.spent <= 1.0


@pytest.mark.parametrize("method", ["rdp", "pld"])
def test_a_budget_can_be_spent_to_its_end_and_read_again(tmp_path: Path, method: Any) -> None:
    site = new_site(tmp_path, epsilon=0.55, method=method)
    answered = 0
    for age in range(14):
        epsilon = (0.1, 0.03)[age % 2]
        number = approved(site, older_than(age), epsilon)
        fits = site.assess(number).fits
        try:
            site.release(number, "ana")
            answered += 1
            assert fits
        except PrivacyError:
            assert not fits
    assert 5 <= answered < 14
    assert 0.4 < reopened(tmp_path).spent <= 0.55


def test_nobody_gets_an_answer_without_approval_or_to_anothers_request(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    number = site.submit("ana", older_than(60), 0.5, "a study")
    with pytest.raises(PrivacyError, match="is pending, not approved"):
        site.release(number, "ana")
    with pytest.raises(PrivacyError, match="'ana' made request 1 and cannot review it"):
        site.approve(number, "ana")
    site.approve(number, "owner")
    with pytest.raises(PrivacyError, match="not made by 'bo'"):
        site.release(number, "bo")
    denied = site.submit("ana", older_than(89), 0.5, "a study of one")
    with pytest.raises(PrivacyError, match="reason is empty"):
        site.deny(denied, "owner", " ")
    site.deny(denied, "owner", "too few people")
    with pytest.raises(PrivacyError, match=r"is denied \(too few people\)"):
        site.release(denied, "ana")
    with pytest.raises(PrivacyError, match="is denied already"):
        site.approve(denied, "owner")
    with pytest.raises(PrivacyError, match="no request 9"):
        site.release(9, "ana")
    assert site.spent == 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"epsilon": 0.0}, "epsilon=0.0"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"epsilon": 2.0}, "more than the whole budget"),
        ({"purpose": ""}, "purpose"),
        ({"purpose": "x" * 501}, "purpose"),
        ({"researcher": ""}, "researcher=''"),
        ({"query": "select * from patients"}, "is no query"),
        ({"query": lambda table: table}, "is no query"),
        ({"query": Sum("ward")}, "holds categories"),
    ],
)
def test_a_request_without_sense_is_refused_and_leaves_no_trace(
    tmp_path: Path, settings: dict[str, Any], complaint: str
) -> None:
    site = new_site(tmp_path)
    sensible: dict[str, Any] = {
        "researcher": "ana",
        "query": Count(),
        "epsilon": 0.1,
        "purpose": "a study",
    }
    with pytest.raises(PrivacyError, match=complaint):
        site.submit(**{**sensible, **settings})
    assert len(site.log()) == 1


class Sneaky(Count):
    """A researcher's own subclass, which would hand out the table."""

    def parts(self, table: Any, schema: Any) -> Any:
        raise AssertionError("code of a researcher was run")


def test_a_query_that_brings_its_own_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrivacyError, match="is no query"):
        new_site(tmp_path).submit("ana", Sneaky(), 0.1, "a study")


def test_a_preview_runs_on_the_mock_and_costs_nothing(tmp_path: Path) -> None:
    site = new_site(tmp_path, mock_rows=40)
    ana = site.researcher("ana")
    shown = ana.preview(Count(), 1.0)
    assert isinstance(shown.answer, float)
    assert abs(shown.answer - 40) < 20
    assert len(ana.mock["age"]) == 40
    assert site.spent == 0
    assert len(site.log()) == 1


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


# --- opening


def test_a_second_site_in_the_same_place_is_refused(tmp_path: Path) -> None:
    new_site(tmp_path)
    with pytest.raises(PrivacyError, match="second budget"):
        new_site(tmp_path)


def test_another_table_is_refused(tmp_path: Path) -> None:
    new_site(tmp_path)
    reopened(tmp_path)
    changed = {**TABLE, "age": np.where(np.arange(1_000) == 7, 50, TABLE["age"])}
    with pytest.raises(PrivacyError, match="not the one"):
        DataSite.open(tmp_path / "site.db", changed)


def test_what_is_no_site_is_explained(tmp_path: Path) -> None:
    with pytest.raises(PrivacyError, match="create the site first"):
        reopened(tmp_path)
    (tmp_path / "site.db").write_text("not a database, whatever its name says" * 10)
    for act in (reopened, new_site):
        with pytest.raises(PrivacyError, match="cannot be used as the log"):
            act(tmp_path)


def test_the_file_is_its_owners_alone_and_does_not_hold_the_table(tmp_path: Path) -> None:
    table = {"age": np.array([37.0, 41.0]), "ward": np.array(["A", "B"])}
    DataSite.create(tmp_path / "site.db", table, SCHEMA, 1.0, 1e-6)
    assert (tmp_path / "site.db").stat().st_mode & 0o077 == 0
    content = (tmp_path / "site.db").read_bytes()
    assert np.array([37.0]).tobytes() not in content
    assert b"37.0" not in content


def test_the_table_is_copied_so_that_later_changes_do_not_reach_it(tmp_path: Path) -> None:
    table = {name: values.copy() for name, values in TABLE.items()}
    site = DataSite.create(tmp_path / "site.db", table, SCHEMA, 5.0, 1e-6)
    table["age"][:] = 0
    assert float(site.release(approved(site, Mean("age"), 4.0), "ana").answer) > 30  # type: ignore[arg-type]


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
