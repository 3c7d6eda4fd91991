"""An assessment: the file judges, the best attack on each image counts, and severity has a rule."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import RobustnessError
from helpers.robustness.assessment import FileAssessment, Plan, Result, Subject, assess
from helpers.robustness.assessment_report import SCHEMA, to_dict, to_html, to_json, to_markdown
from helpers.robustness.findings import SEVERITIES, severity_of
from helpers.robustness.losses import logits_of
from helpers.robustness.target import Target, proportion_interval
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

SUBJECT = Subject("camera|<b>*.tflite", "ab" * 32, 1234, "digits")
PLAN = Plan(40 / 255, steps=8, restarts=1, queries=60, examined=30)


@pytest.fixture(scope="module")
def found(target: Target, network: tf.keras.Model, examples: Examples) -> FileAssessment:
    return assess(target, *examples, SUBJECT, PLAN, original=logits_of(network))


def test_on_each_image_the_best_attack_counts(found: FileAssessment, target: Target) -> None:
    each = [result.accuracy for result in found.results]
    assert found.robust_accuracy <= min(each) <= max(each) <= found.clean_accuracy
    assert found.robust_accuracy == np.mean(np.all([r.robust for r in found.results], axis=0))
    assert found.interval() == proportion_interval(int(found.robust.sum()), len(found.robust))
    assert found.results[1].accuracy <= found.results[0].accuracy


def test_the_file_and_its_original_are_compared_under_one_attack(found: FileAssessment) -> None:
    pair = found.comparison
    assert pair is not None
    assert pair.file_clean == found.clean_accuracy
    assert pair.file_robust == found.results[0].accuracy
    assert pair.robust == pytest.approx(pair.file_robust, abs=0.1)
    assert pair.agreement > 0.9
    assert 0 <= pair.chance <= 1


def test_an_image_counts_only_as_it_can_be_saved(target: Target, examples: Examples) -> None:
    """A file that errs only between grey levels is fooled by nothing that can be saved."""

    def between_levels(rows: np.ndarray) -> np.ndarray:
        codes = np.asarray(rows, np.float64) * 255
        off = np.abs(codes - np.rint(codes)).reshape(len(rows), -1).max(axis=1) > 0.01
        return np.eye(10)[off.astype(int)]

    found = assess(
        Target(between_levels, target.model), examples[0][:12], np.zeros(12, np.int64),
        SUBJECT, replace(PLAN, queries=5, examined=0),
    )  # fmt: skip
    assert found.robust_accuracy == 1


def test_without_gradients_the_report_says_so(target: Target, examples: Examples) -> None:
    bare = assess(
        Target(target.ask), *examples, SUBJECT, PLAN, without_gradients="No replica of EXP."
    )
    assert [result.needs for result in bare.results] == ["its answers"]
    assert bare.masking is None
    assert any(f.evidence == "No replica of EXP." for f in bare.findings)
    assert "No attack by gradients: No replica of EXP." in to_markdown(bare)


def test_a_weak_attacks_number_is_named_where_a_stronger_one_leaves_less(
    found: FileAssessment,
) -> None:
    right = found.correct
    weak = Result("Weak, 10 questions", "its answers", right)
    strong = Result("Strong", "the file", np.zeros_like(right))
    titles = [f.title for f in replace(found, results=(weak, strong), masking=None).findings]
    assert "Weak, 10 questions alone would have looked like robustness" in titles
    titles = [f.title for f in replace(found, results=(strong,), masking=None).findings]
    assert not any("looked like robustness" in title for title in titles)


@given(st.integers(1, 300), st.data())
def test_severity_rises_with_what_falls_and_with_what_the_attacker_can_do_without(
    right: int, data: st.DataObject
) -> None:
    fell = data.draw(st.integers(0, right))
    held = SEVERITIES.index(severity_of(fell, right, "the file"))
    assert SEVERITIES.index(severity_of(fell, right, "its answers")) == held + 1
    if fell < right:
        assert SEVERITIES.index(severity_of(fell + 1, right, "the file")) >= held


def test_the_rule_of_severity_uses_the_lower_end_of_the_interval() -> None:
    assert severity_of(100, 100, "the file") == "high"
    assert severity_of(100, 100, "its answers") == "critical"
    assert severity_of(50, 100, "the file") == "medium"  # the lower end is below one half
    assert severity_of(1, 100, "the file") == "low"


def test_findings_come_worst_first(found: FileAssessment) -> None:
    order = [SEVERITIES.index(finding.severity) for finding in found.findings]
    assert order == sorted(order, reverse=True)
    assert found.findings[-1].severity == "note"


def test_the_json_has_a_schema_and_robustbenchs_words(found: FileAssessment) -> None:
    read = json.loads(to_json(found))
    assert read == json.loads(json.dumps(to_dict(found)))
    assert read["schema"] == SCHEMA
    assert read["threat_model"]["norm"] == "Linf"
    assert read["threat_model"]["eps_levels"] == pytest.approx(40)
    assert read["clean_acc"] == found.clean_accuracy
    assert read["robust_acc"] == found.robust_accuracy
    assert read["robust_acc_interval"][0] <= read["robust_acc"] <= read["robust_acc_interval"][1]
    assert read["model"]["sha256"] == "ab" * 32
    assert len(read["attacks"]) == 3
    assert {sign["name"] for sign in read["masking"]["signs"]} >= {"Black-box beats white-box"}


def test_names_are_escaped_wherever_they_stand(found: FileAssessment) -> None:
    assert "camera\\|\\<b\\>\\*.tflite" in to_markdown(found)
    page = to_html(found)
    assert "camera|&lt;b&gt;*.tflite" in page
    assert "<b>" not in page
    assert page.count("<table>") == 4


def test_what_cannot_be_assessed_is_refused(target: Target, examples: Examples) -> None:
    x, _ = examples
    with pytest.raises(RobustnessError, match="less than one level"):
        Plan(0.5 / 255)
    with pytest.raises(RobustnessError, match="steps=1"):
        Plan(4 / 255, steps=1)
    with pytest.raises(RobustnessError, match="label 10, but"):
        assess(target, x[:3], np.array([1, 2, 10]), SUBJECT, PLAN)
    wrong = (target.labels(x[:9]) + 1) % 10
    with pytest.raises(RobustnessError, match="none of 9 inputs right"):
        assess(target, x[:9], wrong, SUBJECT, PLAN)
