"""What a model's answers are is told from them, stated, or refused; what is no number is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from helpers.audit.answers import STATED, AnswerForm, find_form
from helpers.audit.bench import Bench
from helpers.audit.data import Examples
from helpers.audit.runner import run_audit
from helpers.audit.sections import SECTIONS
from helpers.errors import AuditError
from helpers.watermark.removal import softmax
from tests.audit.doubles import CLASSES, bench

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, CLASSES, 128)
LOGITS = (6 * np.eye(CLASSES)[TRUTH] + RNG.normal(size=(128, CLASSES))).astype(np.float32)
SIGMOIDS = 1 / (1 + np.exp(-LOGITS))
PLACES = RNG.normal(size=(128, 16)).astype(np.float32)
UNIT = PLACES / np.linalg.norm(PLACES, axis=1, keepdims=True)
BINARY = TRUTH % 2
MARGIN = (4 * BINARY - 2 + RNG.normal(size=128)).astype(np.float32)[:, None]


def audited(one: Bench, *names: str) -> dict[str, Any]:
    report = run_audit(one, 60, sections=[s for s in SECTIONS if s.name in names])
    return {section["name"]: section for section in report["sections"]} | {"report": report}


def severities(section: dict[str, Any]) -> dict[str, str]:
    return {finding["title"]: finding["severity"] for finding in section["findings"]}


class Faulty:
    """Answers of another model, changed: the bench asks this one in its place."""

    def __init__(self, one: Bench, change: Any) -> None:
        self._model, self._change = one.model, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = self._change(x, self._model.predict(x))
        return answers


def faulty(change: Any, **settings: Any) -> Bench:
    one = bench(**settings)
    one.model = Faulty(one, change)  # type: ignore[assignment]
    return one


# ---------------------------------------------------------------- the form of the answers


@pytest.mark.parametrize(
    ("answers", "truth", "kind"),
    [
        (softmax(LOGITS), TRUTH, "probabilities"),
        (LOGITS, TRUTH, "logits"),
        (np.log(softmax(LOGITS)), TRUTH, "logits"),
        (SIGMOIDS, TRUTH, "scores"),
        (1 / (1 + np.exp(-MARGIN)), BINARY, "probabilities"),
        (MARGIN, BINARY, "logits"),
    ],
)
def test_the_form_is_told_from_a_few_answers(
    answers: np.ndarray, truth: np.ndarray, kind: str
) -> None:
    found = find_form(answers, truth)
    assert (found.kind, found.single) == (kind, answers.shape[1] == 1)
    assert "assumed, for" in str(found)


@given(arrays.arrays(np.float32, (7, 4), elements=st.floats(-30, 30, width=32)))
def test_probabilities_sum_to_one_and_keep_the_answer(logits: np.ndarray) -> None:
    form = AnswerForm("logits", single=False)
    found = form.probabilities(form.scores(logits))
    assert found.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-5)
    best = logits.max(axis=1)
    assert (logits[np.arange(7), found.argmax(axis=1)] >= best - 1e-4).all()


def test_an_int8_softmax_over_a_thousand_classes_is_still_one() -> None:
    flat = softmax(RNG.normal(size=(64, 1000)).astype(np.float32))
    rounded = np.round(flat * 256) / 256
    assert rounded.sum(axis=1).max() < 0.7
    assert find_form(rounded, np.zeros(64, int), step=1 / 256).kind == "probabilities"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (UNIT, "rows of length 1, as an embedding gives"),
        (PLACES, "as logits, an embedding or a regression give"),
        (PLACES[:, :1], "one unbounded number, as a regression gives"),
    ],
)
def test_what_does_not_agree_with_the_classes_is_no_classifier(
    answers: np.ndarray, why: str
) -> None:
    truth = BINARY if answers.shape[1] == 1 else TRUTH
    with pytest.raises(AuditError, match=rf"{why}.*of 128 examples.*--answers"):
        find_form(answers, truth)
    assert find_form(answers, truth, "logits").stated


def test_a_statement_that_the_answers_contradict_is_refused() -> None:
    with pytest.raises(AuditError, match="--answers probabilities does not fit"):
        find_form(LOGITS, TRUTH, "probabilities")
    for stated in ("embedding", "values"):
        assert stated in STATED
        with pytest.raises(AuditError, match="no class is right"):
            find_form(LOGITS, TRUTH, stated)


def test_one_number_stands_for_two_classes() -> None:
    sure = find_form(1 / (1 + np.exp(-MARGIN)), BINARY)
    margin = find_form(MARGIN, BINARY)
    for form, answers in ((sure, 1 / (1 + np.exp(-MARGIN))), (margin, MARGIN)):
        probabilities = form.probabilities(form.scores(answers))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(probabilities.argmax(axis=1), MARGIN[:, 0] > 0)


@pytest.mark.usefixtures("one_copy")
def test_scores_of_which_only_the_order_counts_keep_out_what_needs_probabilities() -> None:
    one = faulty(lambda x, y: 1 / (1 + np.exp(-20 * (y - 0.4))))
    found = audited(one, "answers", "accuracy", "extraction")
    assert "rows do not sum to 1" in found["report"]["model"]["answers"]
    assert severities(found["answers"])["What the answers are was assumed"] == "note"
    keys = {measure["key"] for measure in found["accuracy"]["measures"]}
    assert "accuracy" in keys
    assert "confidence" not in keys
    assert "no probability of a class" in found["accuracy"]["not_done"][0]
    copy = next(m for m in found["extraction"]["measures"] if m["key"] == "fidelity")
    assert copy["title"].endswith("labels")  # a thief learns from what there is


SURENESS = 20.0  # of any answer, as a logit: its probability is 1 in float32


def _sure(x: NDArray[np.float32], answers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of a model that is surer the larger an input's first number is."""
    return np.eye(CLASSES, dtype=np.float32)[answers.argmax(axis=1)] * (SURENESS + 20 * x[:, :1])


def _int8(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.minimum(np.round(probabilities * 256), 255) / np.float32(256)


def _members(change: Any) -> dict[str, Any]:
    """The membership section of a model that is surer of every member than of any other."""
    one = faulty(change, count=400)
    x = one.require_data().examples.x
    y = one.model.predict(x).argmax(axis=1)
    inside = x[:, 0] > 0.5
    parts = [Examples(x[kind], y[kind]) for kind in (inside, ~inside)]
    one.data = replace(one.require_data(), members=parts[0], nonmembers=parts[1])
    found: dict[str, Any] = audited(one, "membership")["membership"]
    return found


def _one_number(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability of one class alone: those of the others are rounded to nothing."""
    sure = (logits.max(axis=1, keepdims=True) - SURENESS) / 20
    return np.where(logits == logits.max(axis=1, keepdims=True), 0.955 + 0.04 * sure, 0)


@pytest.mark.parametrize("written", [np.array, softmax, _one_number])
def test_members_are_named_however_sure_the_model_is(written: Any) -> None:
    found = _members(lambda x, answers: written(_sure(x, answers)))
    values = {m["key"]: m["value"] for m in found["measures"]}
    assert values["auc"] == values["named"] == 1
    assert "share with outsiders" not in found["findings"][-1]["evidence"]


def test_answers_too_coarse_to_name_anybody_are_said_to_be() -> None:
    found = _members(lambda x, answers: _int8(softmax(_sure(x, answers))))
    counts = {m["key"]: m["trials"] for m in found["measures"]}
    assert next(m["value"] for m in found["measures"] if m["key"] == "named") == 0
    tied = f"members share with outsiders ({counts['named']} with {counts['accused']})"
    assert tied in found["findings"][-1]["evidence"]


def test_an_embedding_gets_a_finding_and_each_section_its_reason() -> None:
    def place(x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.asarray(x[:, ::-1] - 0.5, np.float32) * 3

    found = audited(faulty(place), "answers", "accuracy", "membership", "ownership")
    assert severities(found["answers"])[
        "The answers are not shown to be scores of classes"
    ] == "high"  # fmt: skip
    for name in ("answers", "accuracy"):
        assert "--answers" in found[name]["not_done"][-1]
    assert found["accuracy"]["status"] == "not done"


# ---------------------------------------------------------------- numbers, twice the same


def test_answers_that_are_no_numbers_are_a_finding_with_how_many() -> None:
    def breaks(x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        answers[x.reshape(len(x), -1)[:, 0] > 0.75] = np.nan
        return answers

    one = faulty(breaks)
    broken = int((one.require_data().examples.x[:, 0] > 0.75).sum())
    found = audited(one, "answers", "accuracy", "ownership")
    for name in ("answers", "accuracy"):
        assert severities(found[name])["Answers are NaN or infinite"] == "high"
    (finding,) = [f for f in found["accuracy"]["findings"] if "NaN" in f["title"]]
    assert finding["evidence"] == f"{broken} of 200 inputs"
    accuracy = found["accuracy"]["measures"][0]
    assert accuracy["trials"] == 200  # what is no number is wrong, and counted
    assert accuracy["value"] <= 1 - broken / 200


def test_a_model_that_answers_nothing_but_nan_is_found_too() -> None:
    found = audited(faulty(lambda x, y: np.full_like(y, np.inf)), "answers", "accuracy")
    assert severities(found["answers"])["Answers are NaN or infinite"] == "high"
    assert found["accuracy"]["status"] == "not done"


def test_the_same_question_with_two_answers_is_a_finding_with_how_many() -> None:
    noise = np.random.default_rng(1)

    def drops(x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.asarray(answers * noise.uniform(0.2, 1, answers.shape), np.float32)

    found = audited(faulty(drops, answers="scores"), "answers")["answers"]
    assert severities(found)["The same question gets different answers"] == "high"
    kept = next(m for m in found["measures"] if m["key"] == "repeated")
    assert (kept["value"], kept["trials"]) == (0, 128)
    assert "128 of 128 inputs" in found["findings"][0]["evidence"]


def test_an_answer_that_depends_on_its_neighbours_is_one_too() -> None:
    def trains(x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """As batch normalisation does that was left in training mode."""
        return np.asarray(answers - answers.mean(axis=0), np.float32)

    found = audited(faulty(trains, answers="logits"), "answers")["answers"]
    assert "The same question gets different answers" in severities(found)


def test_rounding_that_depends_on_the_batch_is_none() -> None:
    def rounds(x: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.asarray(answers * (1 + 1e-6 * len(x)), np.float32)

    found = audited(faulty(rounds), "answers")["answers"]
    assert found["status"] == "done"
    assert not found["findings"]
