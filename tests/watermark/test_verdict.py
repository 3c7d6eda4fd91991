"""Claims before the court: who is heard, who is acquitted, and what is stated."""

import dataclasses
import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import data
from helpers.errors import WatermarkError
from helpers.watermark.commitment import Entry, Notary, commit
from helpers.watermark.null import Null
from helpers.watermark.scheme import Reading, Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.uchida import WeightMessage
from helpers.watermark.verdict import ALPHA, Claim, Verdict, _at_most, judge
from tests.watermark.conftest import OTHER, OWNER, SEEN, SHIPPED, deployed, int8

if TYPE_CHECKING:
    import tensorflow as tf

SCHEME = WeightMessage(2, bits=256, epochs=2, learning_rate=5e-3)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """An owner whose model was marked, committed to and shipped; and what is on the market."""

    claim: Claim
    register: tuple[Entry, ...]
    notary: bytes
    null: Null
    pirate: Suspect
    innocents: list[Suspect]

    def judge(self, suspect: Suspect, claim: Claim | None = None, **changes: Any) -> Verdict:
        settings = {"register": self.register, "notary": self.notary, "first_seen": SEEN, **changes}
        return judge(claim or self.claim, suspect, self.null, **settings)


@pytest.fixture(scope="module")
def case(owner: "tf.keras.Model", innocents: list[Suspect], digits: data.Dataset) -> Case:
    marked = SCHEME.embed(owner, digits.x_train, digits.y_train, OWNER)
    file = int8(marked, digits.x_train)
    claim = Claim("acme", SCHEME, OWNER, commit(OWNER, SCHEME, file.data))
    notary = Notary()
    notary.enter("acme", claim.commitment, SHIPPED)
    # One independent model stays out of the null, to be judged
    null = claim.null(innocents[1:])
    return Case(claim, notary.register, notary.public_key, null, deployed(file), innocents)


def test_the_int8_copy_is_shown_and_the_innocent_acquitted(case: Case) -> None:
    found, innocent = case.judge(case.pirate), case.judge(case.innocents[0])
    assert found.outcome == "shown"
    assert found.p_value is not None
    assert found.p_value < 1e-12
    assert innocent.outcome == "not shown"
    assert innocent.p_value is not None
    assert innocent.p_value > 0.01


def test_a_verdict_states_its_chance_of_a_false_claim_over_all_that_was_tried(case: Case) -> None:
    one, many = case.judge(case.pirate), case.judge(case.pirate, suspects=1000)
    for verdict in (one, many):
        assert verdict.needed is not None
        threshold = Reading(verdict.needed, SCHEME.bits)
        assert verdict.false_claim == verdict.tried * case.null.p_value(threshold)
        assert verdict.false_claim <= ALPHA
    assert (one.tried, many.tried) == (1, 1000)
    assert one.needed is not None
    assert many.needed is not None
    assert one.needed < many.needed


def test_every_key_that_a_claimant_committed_to_counts_as_tried(case: Case) -> None:
    notary = Notary()
    for number in range(50):
        notary.enter("acme", commit(OWNER.child(str(number)), SCHEME, b""), SHIPPED)
    notary.enter("acme", case.claim.commitment, SHIPPED)
    verdict = case.judge(
        case.pirate, register=notary.register, notary=notary.public_key, suspects=2
    )
    assert verdict.tried == 102


def test_a_key_that_does_not_open_its_commitment_is_not_heard(case: Case) -> None:
    forged = dataclasses.replace(case.claim, key=OTHER)
    verdict = case.judge(case.pirate, forged)
    assert verdict.outcome == "refused"
    assert "do not open the commitment" in verdict.reason
    assert verdict.reading is None
    other: Scheme = dataclasses.replace(SCHEME, bits=64)
    changed = dataclasses.replace(case.claim, scheme=other)
    assert case.judge(case.pirate, changed).outcome == "refused"


def test_a_commitment_under_another_name_or_of_a_later_day_is_not_heard(case: Case) -> None:
    thief = dataclasses.replace(case.claim, claimant="mallory")
    assert "not in the notary's register" in case.judge(case.pirate, thief).reason
    late = case.judge(case.pirate, first_seen=SHIPPED - datetime.timedelta(days=1))
    assert late.outcome == "refused"
    assert "may have been fitted" in late.reason


def test_a_commitment_copied_from_the_public_register_gives_no_claim(case: Case) -> None:
    """After a first trial the secret is known, and an old copy of the digest would open."""
    notary = Notary()
    notary.enter("acme", case.claim.commitment, SHIPPED)
    notary.enter("mallory", case.claim.commitment, SHIPPED)
    court: dict[str, Any] = {"register": notary.register, "notary": notary.public_key}
    copied = case.judge(case.pirate, dataclasses.replace(case.claim, claimant="mallory"), **court)
    assert copied.outcome == "refused"
    assert "handed in before, by acme" in copied.reason
    assert case.judge(case.pirate, **court).outcome == "shown"


@pytest.mark.parametrize(
    "null",
    [
        Null("keyed", 0.1, 0.1, (0.1,) * 8),
        Null("keyed", 0.5, 0.5, (0.9,) * 8),
        Null("keyed", float("nan"), 0.5, (0.5,) * 8),
        Null("keyed", None, 0.5, (0.5,) * 8),
        Null("keyed", 0.5, 0.5, (0.5,) * 7),
        Null("ranked", None, None, ()),
    ],
)
def test_a_null_kinder_than_the_scheme_is_not_taken(case: Case, null: Null) -> None:
    with pytest.raises(WatermarkError, match=r"(?i)a null"):
        judge(case.claim, case.innocents[0], null, case.register, case.notary, SEEN)


@given(st.floats(1e-290, 1))
def test_a_bound_in_words_is_never_less_than_the_bound(probability: float) -> None:
    words = _at_most(probability)
    stated = float(words.removeprefix("at most "))
    assert probability <= stated <= 1.11 * probability


def test_a_tail_too_small_for_a_float_is_not_called_nothing() -> None:
    assert _at_most(0.0) == "below 1e-290"


def test_a_register_that_is_not_the_notarys_stops_the_court(case: Case) -> None:
    altered = (dataclasses.replace(case.register[0], claimant="mallory"),)
    with pytest.raises(WatermarkError, match="Entry 0"):
        case.judge(case.pirate, register=altered)


def test_ranks_alone_support_a_case_and_do_not_make_one(case: Case) -> None:
    ranked = Null("ranked", None, None, case.null.innocents)
    verdict = judge(case.claim, case.pirate, ranked, case.register, case.notary, SEEN)
    assert verdict.outcome == "not shown"
    assert verdict.needed is None
    assert "cannot make one" in verdict.reason
    assert "no evidence gives less than 1 in 9" in str(verdict)
    mild = judge(case.claim, case.pirate, ranked, case.register, case.notary, SEEN, alpha=0.2)
    assert mild.outcome == "shown"


def test_the_words_and_the_dossier_hold_every_number(case: Case) -> None:
    verdict = case.judge(case.pirate)
    text = str(verdict)
    for part in ("acme", "SHOWN", "256", "made from the marked model", "innocent", "at most"):
        assert part in text
    dossier = json.loads(json.dumps(verdict.as_dict()))
    assert dossier["reading"] == {"found": verdict.reading.found, "looked_for": 256}  # type: ignore[union-attr]
    assert dossier["null"]["rate"] == pytest.approx(case.null.rate)
    assert OWNER.secret.hex() not in json.dumps(dossier)


@pytest.mark.parametrize(
    "change", [{"suspects": 0}, {"alpha": 0.0}, {"first_seen": SEEN.replace(tzinfo=None)}]
)
def test_a_setting_out_of_range_is_refused(case: Case, change: dict[str, Any]) -> None:
    with pytest.raises(WatermarkError, match=next(iter(change))):
        case.judge(case.pirate, **change)
