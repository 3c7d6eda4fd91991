from __future__ import annotations

from pathlib import Path

import pytest

from helpers.errors import PrivacyError
from helpers.privacy.accounting import epsilon
from helpers.privacy.ledger import Charge, PrivacyLedger

RUN = Charge(noise_multiplier=1.1, sample_rate=0.01, steps=500, label="first model")


def test_an_empty_ledger_has_spent_nothing() -> None:
    ledger = PrivacyLedger(1.0, 1e-5)
    assert ledger.spent == 0
    assert ledger.remaining == 1.0


def test_one_run_costs_what_the_accountant_says() -> None:
    ledger = PrivacyLedger(3.0, 1e-5)
    assert ledger.charge(RUN) == ledger.spent == pytest.approx(epsilon(1.1, 0.01, 500, 1e-5))


def test_two_halves_cost_as_much_as_the_whole_and_less_than_their_sum() -> None:
    half = Charge(1.1, 0.01, 250)
    ledger = PrivacyLedger(3.0, 1e-5)
    first = ledger.charge(half)
    assert ledger.charge(half) == pytest.approx(epsilon(1.1, 0.01, 500, 1e-5))
    assert ledger.spent < 2 * first


def test_an_overspending_charge_is_refused_before_the_work_and_leaves_no_trace() -> None:
    ledger = PrivacyLedger(1.5, 1e-5)
    ledger.charge(RUN)
    spent = ledger.spent
    with pytest.raises(PrivacyError, match="second model would bring the spending to"):
        ledger.charge(Charge(0.6, 0.01, 500, label="second model"))
    assert ledger.spent == spent
    assert ledger.charges == (RUN,)


def test_the_affordable_steps_fit_and_one_more_does_not() -> None:
    ledger = PrivacyLedger(1.0, 1e-5)
    long_run = Charge(1.1, 0.01, 5000)
    steps = ledger.affordable_steps(long_run)
    assert 0 < steps < 5000
    ledger.charge(Charge(1.1, 0.01, steps))
    with pytest.raises(PrivacyError, match="budget is 1"):
        ledger.charge(Charge(1.1, 0.01, 1))


def test_laplace_releases_cost_their_pure_epsilon_at_most() -> None:
    ledger = PrivacyLedger(1.0, 1e-5, method="pld")
    spent = ledger.charge(Charge(noise_multiplier=2.0, noise="laplace"))
    assert 0.49 < spent <= 0.5 + 1e-3


def test_a_saved_ledger_comes_back_whole(tmp_path: Path) -> None:
    ledger = PrivacyLedger(2.0, 1e-6, method="pld")
    ledger.charge(Charge(5.0, 0.02, 30, label="count"))
    ledger.save(tmp_path / "ledger.json")
    loaded = PrivacyLedger.load(tmp_path / "ledger.json")
    assert (loaded.charges, loaded.epsilon, loaded.delta, loaded.method) == (
        ledger.charges,
        2.0,
        1e-6,
        "pld",
    )


@pytest.mark.parametrize("text", ["", "{}", '{"epsilon": 1, "delta": 2, "method": "rdp"}', "[1]"])
def test_a_damaged_ledger_is_never_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(PrivacyError):
        PrivacyLedger.load(tmp_path / "ledger.json")


def test_a_ledger_whose_budget_was_cut_by_hand_is_refused(tmp_path: Path) -> None:
    ledger = PrivacyLedger(2.0, 1e-5)
    ledger.charge(RUN)
    ledger.save(tmp_path / "ledger.json")
    text = (tmp_path / "ledger.json").read_text().replace('"epsilon": 2.0', '"epsilon": 0.1')
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(PrivacyError, match="changed outside"):
        PrivacyLedger.load(tmp_path / "ledger.json")


def test_charges_that_cannot_be_accounted_for_are_refused() -> None:
    with pytest.raises(PrivacyError, match="Laplace"):
        Charge(1.0, sample_rate=0.1, noise="laplace")
    with pytest.raises(PrivacyError, match="noise_multiplier"):
        Charge(0.0)


def test_a_run_that_is_named_pays_for_each_step_once() -> None:
    ledger = PrivacyLedger(3.0, 1e-5)
    for steps in (200, 500, 300):
        ledger.charge(Charge(1.1, 0.01, steps, run="resumed"))
    assert [charge.steps for charge in ledger.charges] == [500]
    assert ledger.spent == pytest.approx(epsilon(1.1, 0.01, 500, 1e-5))
    with pytest.raises(PrivacyError, match="one run has one mechanism"):
        ledger.charge(Charge(1.1, 0.02, 600, run="resumed"))
    assert ledger.affordable_steps(Charge(1.1, 0.01, 100_000, run="resumed")) > 500
    ledger.charge(RUN)
    assert len(ledger.charges) == 2
