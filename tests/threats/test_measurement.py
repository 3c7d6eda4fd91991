"""A measured number replaces a guess, by a rule that is written down."""

from __future__ import annotations

import datetime
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import threats
from helpers.errors import ThreatModelError
from helpers.threats import measurement as measuring
from helpers.threats.lab_reports import most_members_named
from helpers.threats.measurement import ATTACK_FLOOR, METRICS, Measurement, from_json, to_json

# What a lab's solution wrote when it ran in the fast profile, seed 0.
ASSESSMENT = Path(__file__).parent / "reports" / "assessment.json"
# What the course's labs measured in full.
RECORD = files("helpers.course") / "measured"
LAB_2 = Path(str(RECORD / "train-under-a-privacy-budget.json"))
LAB_6 = Path(str(RECORD / "what-the-small-model-remembers.json"))
DAY = datetime.date(2026, 6, 1)


def measured(**changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "threat": "update-poisoning", "metric": "accuracy-loss", "value": 0.05, "low": 0.03,
        "high": 0.08, "source": "a run", "date": DAY,
    }  # fmt: skip
    return Measurement(**(fields | changes))


@given(st.sampled_from(sorted(METRICS)), st.floats(0, 1), st.floats(0, 1))
def test_worse_is_never_less_likely_and_stays_within_0_and_10(
    name: str, first: float, second: float
) -> None:
    metric = METRICS[name]
    low, high = sorted((first, second))
    span = min(metric.high, 20) - metric.low
    before, after = (metric.likelihood(metric.low + share * span) for share in (low, high))
    assert 0 <= before <= after <= 10


def test_a_curve_passes_through_its_points() -> None:
    for metric in METRICS.values():
        for value, score in metric.points:
            assert metric.likelihood(value) == pytest.approx(score)


def test_a_failed_attack_never_clears_a_threat_and_a_bound_may() -> None:
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert measured(**nothing).likelihood == ATTACK_FLOOR
    assert measured(**nothing, evidence="bound").likelihood == 0


def test_the_worse_end_of_the_interval_counts() -> None:
    result = measured()
    assert result.likelihood == METRICS["accuracy-loss"].likelihood(0.08)
    assert result.likelihood_range == (pytest.approx(3.5), pytest.approx(6.0))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metric": "acuracy-loss"}, "did you mean 'accuracy-loss'"),
        ({"value": 0.2}, "must lie in its interval"),
        ({"high": 1.5}, "must lie in its interval"),
        ({"low": math.nan}, "finite"),
        ({"evidence": "hearsay"}, "use attack or bound"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ThreatModelError, match=says):
        measured(**changes)


@given(st.integers(1, 400), st.data())
def test_a_rate_has_the_exact_interval(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    oracle = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert measuring.rate(successes, trials) == pytest.approx((successes / trials, *oracle))


def test_measurements_survive_their_json() -> None:
    results = (measured(), measured(target="server-app", evidence="bound", setting="ten nodes"))
    assert from_json(json.loads(json.dumps(to_json(results)))) == results


@pytest.mark.parametrize(
    "content",
    [
        {}, [], {"schema": "other/1", "measurements": []},
        {"schema": measuring.SCHEMA, "measurements": [{"threat": "x"}]},
        {"schema": measuring.SCHEMA, "measurements": [{
            "threat": "x", "metric": "bypass-rate", "value": 0, "interval": [0, 0.1],
            "source": "s", "date": "2026-02-30"}]},
        {"schema": measuring.SCHEMA, "measurements": [{
            "threat": "x", "metric": "bypass-rate", "value": 10**400, "interval": [0, 1],
            "source": "s", "date": "2026-02-03"}]},
        {"schema": measuring.SCHEMA, "measurements": [], "more": 1},
    ],
)  # fmt: skip
def test_json_of_another_form_is_refused(content: Any) -> None:
    with pytest.raises(ThreatModelError):
        from_json(content)


@pytest.mark.parametrize("text", ["", "nonsense", "[" * 100_000, '{"a": NaN}', "3", "{}", "[1]"])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ThreatModelError):
        threats.read_report(path)


def test_one_of_a_labs_measurements_replaces_a_guess() -> None:
    (result,) = threats.read_report(LAB_6, "flash", "patients-named-int8")
    entries = {one["name"]: one for one in json.loads(LAB_6.read_text())["measurements"]}
    written = entries["patients-named-int8"]
    assert [result.value, [result.low, result.high]] == [written["value"], written["interval"]]
    model = threats.load("smart-speaker")
    guessed = threats.analyse(model).threat("membership-inference@flash")
    now = threats.analyse(model, [result]).threat("membership-inference@flash")
    assert now.risk != guessed.risk
    assert now.scores.exploitability.reason.startswith("measured: members-named")
    assert (now.scores.damage, now.scores.affected) == (
        guessed.scores.damage,
        guessed.scores.affected,
    )
    assert now.rmf_functions == ("MAP", "MEASURE")
    assert "digit reader, int8 file; LiRA" in result.setting


def test_where_a_lab_measured_a_threat_under_several_defences_one_has_to_be_named() -> None:
    with pytest.raises(ThreatModelError, match=r"6 entries speak of membership.*patients-named-"):
        threats.read_report(LAB_6)
    with pytest.raises(ThreatModelError, match="did you mean 'patients-named-int8'"):
        threats.read_report(LAB_6, name="patients-named-int7")
    with pytest.raises(ThreatModelError, match="not what a lab measured"):
        threats.read_report(ASSESSMENT, name="patients-named-int8")


def test_what_a_lab_proved_is_a_bound_and_lowers_a_risk() -> None:
    (result,) = threats.read_report(LAB_2, "flash")
    assert (result.evidence, result.low, result.high) == ("bound", 0, result.value)
    model = threats.load("smart-speaker")
    guessed, proved = (
        threats.analyse(model, found).threat("membership-inference@flash")
        for found in ([], [result])
    )
    assert proved.risk < guessed.risk


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"date": "2026-02-30"}, "not as its writer leaves it"),
        ({"date": 3}, "not as its writer leaves it"),
        ({"measurements": [{"name": "a", "threat": "evasion"}]}, "it lacks 'value'"),
        ({"measurements": 3}, "not as its writer leaves it"),
        ({"measurements": []}, "none of its entries names a threat"),
    ],
)
def test_a_damaged_file_of_a_lab_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "measurements.json"
    path.write_text(json.dumps(json.loads(LAB_2.read_text()) | change))
    with pytest.raises(ThreatModelError, match=said):
        threats.read_report(path)


def test_lab_8_measures_evasion_on_the_images_that_were_right() -> None:
    (result,) = threats.read_report(ASSESSMENT, "detector")
    content = json.loads(ASSESSMENT.read_text())
    right = round(content["clean_acc"] * content["dataset"]["images"])
    fooled = right - round(content["robust_acc"] * content["dataset"]["images"])
    oracle = stats.binomtest(fooled, right).proportion_ci(0.95, "exact")
    assert (result.value, result.low, result.high) == pytest.approx((fooled / right, *oracle))
    assert result.date.isoformat() == content["made"][:10]
    now = threats.analyse(threats.load("drone"), [result]).threat("evasion@detector")
    assert now.risk > threats.analyse(threats.load("drone")).threat("evasion@detector").risk
    assert "masked" not in result.setting


def test_doubt_about_an_assessment_is_said_with_it(tmp_path: Path) -> None:
    content = json.loads(ASSESSMENT.read_text())
    content["masking"]["trustworthy"] = False
    path = tmp_path / "assessment.json"
    path.write_text(json.dumps(content))
    assert threats.read_report(path)[0].setting.endswith("gradients may be masked")
    path.write_text(json.dumps(content | {"robust_acc": 0.95}))
    with pytest.raises(ThreatModelError, match=r"clean accuracy 0\.90625, robust accuracy 0\.95"):
        threats.read_report(path)
    del content["dataset"]
    path.write_text(json.dumps(content))
    with pytest.raises(ThreatModelError, match="it lacks 'dataset'"):
        threats.read_report(path)


@given(st.floats(0, 800), st.floats(0, 1), st.floats(0, 1))
def test_the_bound_lies_above_guessing_and_below_certainty(
    epsilon: float, delta: float, accused: float
) -> None:
    assert accused - 1e-12 <= most_members_named(epsilon, delta, accused) <= 1


@pytest.mark.parametrize("guarantee", [(-1, 0, 0.1), (math.inf, 0, 0.1), (1, 2, 0.1), (1, 0, -1)])
def test_a_guarantee_that_is_none_is_an_error(guarantee: tuple[float, float, float]) -> None:
    with pytest.raises(ThreatModelError, match="must lie between 0 and 1"):
        most_members_named(*guarantee)


def test_no_privacy_names_as_many_as_it_likes_and_perfect_privacy_none() -> None:
    assert most_members_named(0, 0, 0.01) == pytest.approx(0.01)
    assert most_members_named(50, 0, 0.01) == pytest.approx(1)
    assert most_members_named(math.log(2), 0.001, 0.01) == pytest.approx(0.021)


def test_a_measurement_of_what_is_not_there_is_an_error() -> None:
    model = threats.load("drone")
    with pytest.raises(ThreatModelError, match="which this system does not have"):
        threats.analyse(model, [measured()])
    with pytest.raises(ThreatModelError, match="did you mean 'evasion@detector'"):
        threats.analyse(
            model, [measured(threat="evasion", target="detectr", metric="attack-success-rate")]
        )
    with pytest.raises(ThreatModelError, match="accuracy-loss does not measure evasion"):
        threats.analyse(model, [measured(threat="evasion", target="detector")])


def test_of_two_attacks_the_better_counts_and_a_bound_overrules_those_that_it_allows() -> None:
    model = threats.load("hospital-consortium")
    mild = measured(value=0.0, low=0.0, high=0.01)
    grave = measured(value=0.4, low=0.3, high=0.5)
    for order in ([mild, grave], [grave, mild]):
        found = threats.analyse(model, order).threat("update-poisoning@server-app")
        assert found.measurement == grave
    bound = measured(evidence="bound", value=0.0, low=0.0, high=0.02)
    for order, counts in (
        ([mild, bound], bound), ([bound, mild], bound),
        ([grave, bound], grave), ([bound, grave], grave),  # it refutes the bound
    ):  # fmt: skip
        found = threats.analyse(model, order).threat("update-poisoning@server-app")
        assert found.measurement == counts


@pytest.mark.parametrize("field", ["source", "setting"])
def test_a_text_that_steers_a_terminal_is_refused(field: str) -> None:
    with pytest.raises(ThreatModelError, match=r"U\+001B"):
        measured(**{field: "\x1b[2J"})
