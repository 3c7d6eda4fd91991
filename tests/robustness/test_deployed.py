"""Attacks on the int8 file: transfer, worst case, overshoot, queries, and who judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.errors import RobustnessError
from helpers.robustness import library
from helpers.robustness.budget import Budget, round_to_stored
from helpers.robustness.curves import query_curve, robust_accuracy_curve
from helpers.robustness.losses import logits_of
from helpers.robustness.queries import (
    Dither,
    flat_differences,
    nes,
    score_margins,
    square,
)
from helpers.robustness.target import Outcome, Target, judge
from helpers.robustness.transfer import overshoot, surrogates, transfer, worst_case
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

BUDGET = Budget(0.15)
MinimumNorm = Callable[[Target, np.ndarray, np.ndarray], Outcome]


def test_the_replica_fools_the_file_as_well_as_the_source_does(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    from_file = transfer(target, x, y, BUDGET)
    from_source = transfer(Target(target.ask, logits_of(network)), x, y, BUDGET)
    assert from_file.correct.mean() > 0.9
    assert from_file.robust_accuracy < 0.6
    assert from_file.robust_accuracy == pytest.approx(from_source.robust_accuracy, abs=0.06)


def test_the_worst_of_several_attacks_is_no_better_for_the_defender_than_any_one(
    target: Target, examples: Examples
) -> None:
    x, y = examples[0][:60], examples[1][:60]
    one = transfer(target, x, y, BUDGET, steps=20)
    worst = worst_case(target, x, y, BUDGET, steps=20, queries=60)
    assert worst.robust_accuracy <= one.robust_accuracy
    BUDGET.require(x, worst.adversarial)


def test_an_attack_survives_being_saved_as_an_image(target: Target, examples: Examples) -> None:
    x, y = examples
    outcome = transfer(target, x, y, BUDGET)
    stored = round_to_stored(x, outcome.adversarial, BUDGET)
    saved = judge(target, x, y, stored, attack="saved", budget=BUDGET)
    assert saved.robust_accuracy == pytest.approx(outcome.robust_accuracy, abs=0.05)


def test_a_minimum_norm_attack_stops_at_the_float_boundary_and_overshoot_carries_it_on(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples[0][:24], examples[1][:24]
    on_source = Target(target.ask, logits_of(network), name="int8")
    stopped = library.deepfool(on_source, x, y, steps=20)
    carried = overshoot(on_source, x, y, stopped.adversarial)
    assert stopped.robust_accuracy > 0.2
    assert carried.robust_accuracy < 0.05
    hit = carried.correct & carried.fooled
    longer = carried.distances[hit] / stopped.distances[hit]
    assert np.median(longer) < 1.1
    assert carried.queries is not None
    assert carried.queries.max() <= 25 + 6


def test_overshoot_finds_where_a_line_crosses_the_boundary() -> None:
    def half(inputs: np.ndarray) -> np.ndarray:
        mean = inputs.reshape(len(inputs), -1).mean(axis=1)
        return np.stack([0.5 - mean, mean - 0.5], axis=1)

    x, y = np.full((2, 2, 2, 1), 0.2, np.float32), np.zeros(2, np.int64)
    stop = np.stack([x[0] + 0.2, x[0] + 0.05])  # the second cannot get there within four lengths
    outcome = overshoot(Target(half), x, y, stop, norm="linf")
    assert outcome.fooled.tolist() == [True, False]
    assert outcome.distances[0] == pytest.approx(0.3, rel=0.01)
    assert outcome.distances[1] == pytest.approx(0.05)


def test_int8_scores_are_flat_where_float_scores_are_not(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    assert flat_differences(target, x, y) > 0.3
    assert flat_differences(Target(lambda rows: network(rows).numpy()), x, y) < 0.05


def test_square_keeps_to_budget_and_queries_and_fools_the_file(
    target: Target, examples: Examples
) -> None:
    x, y = examples
    metered, meter = target.metered()
    outcome = square(metered, x, y, 0.25, queries=150, seed=1)
    assert outcome.queries is not None
    assert outcome.queries.max() <= 150
    # The judge asks about clean and changed inputs once more.
    assert meter.count == outcome.queries.sum() + 2 * len(x)
    assert outcome.robust_accuracy < outcome.correct.mean() - 0.2
    assert outcome.fooled[outcome.queries < 150].all()


def test_walking_across_plateaus_is_what_lets_square_move_on_saturated_scores(
    target: Target, examples: Examples
) -> None:
    x, y = examples
    left = {
        ties: square(target, x, y, 0.2, queries=200, accept_ties=ties).robust_accuracy
        for ties in (False, True)
    }
    assert left[True] < left[False]


def test_nes_needs_a_spread_that_an_int8_file_can_tell_apart(
    target: Target, examples: Examples
) -> None:
    x, y = examples
    wide = nes(target, x, y, Budget(0.25), queries=210, spread=0.1)
    narrow = nes(target, x, y, Budget(0.25), queries=210, spread=0.001)
    assert wide.robust_accuracy < narrow.robust_accuracy
    assert wide.queries is not None
    assert wide.queries.max() <= 210


@pytest.mark.parametrize("dither", [Dither(), Dither(3, 0.05)])
def test_no_radius_no_success(target: Target, examples: Examples, dither: Dither) -> None:
    x, y = examples[0][:20], examples[1][:20]
    outcome = square(target, x, y, 0.0, queries=12, dither=dither)
    np.testing.assert_array_equal(outcome.adversarial, x)
    assert outcome.robust_accuracy == outcome.correct.mean()


@given(st.integers(2, 6), st.integers(0, 1000))
def test_a_margin_is_negative_exactly_if_the_model_errs(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(5, classes)), rng.integers(classes, size=5)
    np.testing.assert_array_equal(
        score_margins(scores, labels) < 0, np.argmax(scores, axis=1) != labels
    )


def test_hop_skip_jump_needs_labels_only(target: Target, examples: Examples) -> None:
    x, y = examples[0][:12], examples[1][:12]

    def labels_only(inputs: np.ndarray) -> np.ndarray:
        return np.eye(10)[target.labels(inputs)]

    outcome = library.hop_skip_jump(Target(labels_only), x, y, rounds=3, evaluations=60)
    assert outcome.robust_accuracy == 0
    nearest = [
        min(np.linalg.norm(x[i] - other) for other in x[target.labels(x) != y[i]])
        for i in range(len(x))
    ]
    assert np.median(outcome.distances) < 0.7 * np.median(nearest)
    assert outcome.queries is not None
    assert outcome.queries[outcome.correct].min() > 10


def test_arts_attacks_repeat_and_leave_numpys_generator_as_it_was(
    target: Target, examples: Examples
) -> None:
    x, y = examples[0][:20], examples[1][:20]
    before = _global_generator()
    first, second = (
        library.auto_attack(target, x, y, BUDGET, steps=5).adversarial for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(_global_generator(), before)


def _global_generator() -> np.ndarray:
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    return np.array(state["state"]["key"])


def test_arts_autoattack_agrees_with_ours(target: Target, examples: Examples) -> None:
    x, y = examples[0][:60], examples[1][:60]
    theirs = library.auto_attack(target, x, y, BUDGET)
    ours = worst_case(target, x, y, BUDGET, queries=0)
    assert ours.robust_accuracy <= theirs.robust_accuracy + 1e-9


@pytest.mark.parametrize("attack", [library.carlini_wagner, library.deepfool])
def test_minimum_norm_attacks_find_the_known_distance_to_a_plane(attack: MinimumNorm) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(8)
    weights = rng.normal(size=(12, 2)).astype(np.float32)
    weights -= weights.mean(axis=0)  # so that the plane goes through grey
    normal = weights[:, 0] - weights[:, 1]
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, use_bias=False)])
    model.build((None, 12))
    model.set_weights([weights])
    x = rng.uniform(0.4, 0.6, (8, 12)).astype(np.float32)
    expected = np.abs(x @ normal) / np.linalg.norm(normal)
    source = Target(lambda rows: model(rows).numpy(), model)
    stopped = attack(source, x, np.argmax(x @ weights, axis=1))
    # DeepFool may stop on the boundary itself, to the last bit.
    outcome = overshoot(source, x, np.argmax(x @ weights, axis=1), stopped.adversarial)
    assert outcome.fooled.all()
    np.testing.assert_allclose(outcome.distances, expected, rtol=0.15)


def test_a_model_that_resembles_the_file_fools_it_less_than_its_own_replica(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    import tensorflow as tf

    x, y = examples
    tf.keras.utils.set_random_seed(4)
    other = tf.keras.models.clone_model(network)
    other.compile("adam", "sparse_categorical_crossentropy")
    other.fit(x, y, 32, 10, verbose=0)
    borrowed = surrogates(target, [logits_of(other)], x, y, BUDGET)[0]
    assert borrowed.robust_accuracy > transfer(target, x, y, BUDGET).robust_accuracy
    assert borrowed.robust_accuracy < borrowed.correct.mean()


def test_the_curve_falls_from_clean_accuracy_and_carries_exact_intervals(
    target: Target, examples: Examples
) -> None:
    x, y = examples
    curve = robust_accuracy_curve(target, x, y, [0, 0.05, 0.1, 0.2, 0.3], transfer)
    assert curve.y[0] == np.mean(target.labels(x) == y)
    assert (np.diff(curve.successes) <= 0).all()
    assert curve.y[-1] < 0.2
    expected = stats.binomtest(int(curve.successes[1]), len(x)).proportion_ci()
    assert (curve.low[1], curve.high[1]) == pytest.approx((expected.low, expected.high))


def test_the_query_curve_counts_who_was_fooled_by_then() -> None:
    outcome = Outcome(
        "made up",
        np.zeros((4, 1), np.float32),
        correct=np.array([True, True, True, False]),
        fooled=np.array([True, True, False, True]),
        distances=np.zeros(4),
        norm="linf",
        queries=np.array([3, 10, 50, 1]),
    )
    curve = query_curve(outcome, [1, 3, 20, 50])
    assert curve.successes.tolist() == [0, 1, 2, 2]
    assert curve.trials == 3
    assert outcome.robust_accuracy == 0.25
    assert outcome.success_rate == pytest.approx(2 / 3)


def test_what_proves_nothing_is_refused(target: Target, examples: Examples) -> None:
    x, y = examples[0][:10], examples[1][:10]
    with pytest.raises(RobustnessError, match=r"the budget is 0\.1"):
        judge(target, x, y, np.clip(x + 0.2, 0, 1), attack="cheat", budget=Budget(0.1))
    with pytest.raises(RobustnessError, match=r"within \[0, 1\]"):
        judge(target, x, y, x - 0.5, attack="cheat")
    with pytest.raises(RobustnessError, match="no model with gradients"):
        transfer(Target(target.ask), x, y, BUDGET)
    with pytest.raises(RobustnessError, match="one row of numbers"):
        Target(lambda rows: np.zeros(3)).labels(x)
    with pytest.raises(RobustnessError, match="rising list"):
        robust_accuracy_curve(target, x, y, [0.1, 0.1], transfer)
    with pytest.raises(RobustnessError, match="counts no queries"):
        query_curve(transfer(target, x, y, BUDGET), [1])
    same = np.repeat(x[:1], 3, axis=0)
    with pytest.raises(RobustnessError, match="the label"):
        library.hop_skip_jump(target, same, np.repeat(y[:1], 3))
