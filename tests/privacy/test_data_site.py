"""The desk: who may do what, what it costs, and what it refuses to open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.errors import PrivacyError
from helpers.privacy.data_site import Count, DataSite, Histogram, Mean, Query, Sum, Where
from helpers.privacy.ledger import Charge, PrivacyLedger
from tests.privacy.desk import SCHEMA, TABLE, approved, new_site, older_than, reopened

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
