from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget
from helpers.robustness.gradients import straight_through
from helpers.robustness.losses import logits_of
from helpers.robustness.masking import Verdict, check_masking, loss_landscape
from helpers.robustness.target import Target
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

BUDGET = Budget(0.2)


def shown(verdict: Verdict) -> set[str]:
    return {sign.name for sign in verdict.signs if sign.shows}


def test_an_honest_number_is_believed_though_int8_scores_are_flat(
    target: Target, examples: Examples
) -> None:
    verdict = check_masking(target, *examples, BUDGET, steps=10, queries=60)
    assert shown(verdict) <= {"Scores of the artefact are flat"}
    assert verdict.trustworthy
    assert verdict.strongest <= verdict.claimed < 0.5
    assert "No sign of masked gradients." in verdict.to_text()


@pytest.fixture(scope="module")
def rounded(network: tf.keras.Model) -> tuple[Target, Target]:
    """A defence that rounds its input, attacked naively and by a straight-through gradient."""
    import tensorflow as tf

    inner = logits_of(network)

    def levels(inputs: tf.Tensor) -> tf.Tensor:
        return tf.round(inputs * 4) / 4

    def naive(inputs: tf.Tensor) -> tf.Tensor:
        return inner(levels(inputs))

    def adaptive(inputs: tf.Tensor) -> tf.Tensor:
        return inner(straight_through(levels)(inputs))

    def ask(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(naive(tf.constant(inputs)))

    return Target(ask, naive, name="naive"), Target(ask, adaptive, name="adaptive")


def test_a_rounding_defence_is_called_what_it_is(
    rounded: tuple[Target, Target], examples: Examples
) -> None:
    verdict = check_masking(rounded[0], *examples, BUDGET, steps=10, queries=60)
    assert not verdict.trustworthy
    assert {"Gradients vanish", "Black-box beats white-box", "An unbounded budget fails"} <= shown(
        verdict
    )
    assert verdict.strongest < verdict.claimed - 0.1
    text = verdict.to_text()
    assert f"Do not trust {verdict.claimed:.3f}" in text
    assert "100.0% of the inputs have a gradient of exactly zero" in text


def test_the_same_defence_under_an_adaptive_attack_earns_a_number_one_can_trust(
    rounded: tuple[Target, Target], network: tf.keras.Model, examples: Examples
) -> None:
    others = [logits_of(network)]
    verdict = check_masking(rounded[1], *examples, BUDGET, steps=10, queries=60, others=others)
    naive = check_masking(rounded[0], *examples, BUDGET, steps=10, queries=60)
    assert verdict.claimed < naive.claimed - 0.3
    assert "Gradients vanish" not in shown(verdict)
    assert len(verdict.signs) == len(naive.signs) + 1


def test_a_one_step_attack_that_overshoots_is_seen_to_beat_many_blind_steps(
    network: tf.keras.Model, examples: Examples
) -> None:
    """A model with a ripple in front: gradients are real, and lead nowhere."""
    import tensorflow as tf

    inner = logits_of(network)

    def rippled(inputs: tf.Tensor) -> tf.Tensor:
        return inner(inputs + 0.01 * tf.sin(2000 * inputs))

    model_and_judge = Target(lambda rows: np.asarray(rippled(tf.constant(rows))), rippled)
    verdict = check_masking(
        model_and_judge, *examples, BUDGET, steps=10, queries=100, others=[inner]
    )
    assert not verdict.trustworthy
    assert any("transfer" in name for name in shown(verdict))


def test_a_landscape_has_the_input_at_its_middle_and_falls_along_the_gradient(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    model = logits_of(network)
    offsets, margins = loss_landscape(model, x[0], int(y[0]), 0.1, points=5)
    assert offsets.tolist() == pytest.approx([-0.1, -0.05, 0, 0.05, 0.1])
    logits = model(x[:1]).numpy()[0]
    assert margins[2, 2] == pytest.approx(logits[y[0]] - np.delete(logits, y[0]).max(), rel=1e-4)
    # The gradient of the attacker's margin leads down, the random signs lead nowhere much.
    assert margins[4, 2] < margins[2, 2]
    assert abs(margins[2, 4] - margins[2, 2]) < margins[2, 2] - margins[4, 2]
    _, deployed = loss_landscape(target.ask, x[0], int(y[0]), 0.01, points=5)
    assert len(np.unique(deployed)) < 10


def test_what_the_checklist_cannot_judge_is_refused(target: Target, examples: Examples) -> None:
    with pytest.raises(RobustnessError, match="L-infinity"):
        check_masking(target, *examples, Budget(1.0, "l2"))
    with pytest.raises(RobustnessError, match="epsilon"):
        check_masking(target, *examples, Budget(0.0))
    with pytest.raises(RobustnessError, match="no model with gradients"):
        check_masking(Target(target.ask), *examples, BUDGET)
