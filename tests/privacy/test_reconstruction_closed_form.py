import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.errors import PrivacyError
from helpers.privacy import reconstruction

PIXELS = st.floats(0, 1, width=32)
WEIGHTS = st.floats(-2, 2, width=32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def softmax_regression_gradient(
    x: np.ndarray, y: np.ndarray, kernel: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Differentiate the mean cross-entropy of ``softmax(x @ kernel)`` by hand."""
    errors = softmax(x @ kernel) - np.eye(kernel.shape[1])[y]
    return x.T @ errors / len(x), errors.mean(axis=0)


def test_the_exact_attacks_do_not_load_tensorflow() -> None:
    code = (
        "import sys; from helpers.privacy.reconstruction import invert_dense, psnr;"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(deadline=None)
@given(
    x=arrays(np.float64, (1, 12), elements=PIXELS),
    kernel=arrays(np.float64, (12, 5), elements=WEIGHTS),
    label=st.integers(0, 4),
)
def test_the_input_of_a_dense_layer_is_recovered_exactly(
    x: np.ndarray, kernel: np.ndarray, label: int
) -> None:
    gradient = softmax_regression_gradient(x, np.array([label]), kernel)
    np.testing.assert_allclose(reconstruction.invert_dense(*gradient), x[0], atol=1e-9)


def test_a_real_digit_is_read_from_tensorflows_gradient_of_a_relu_network(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((28, 28, 1)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )
    image, label = digits[0][:1], digits[1][:1]
    gradients = reconstruction.loss_gradients(model, image, label)
    recovered = reconstruction.invert_dense(gradients[0], gradients[1])
    np.testing.assert_allclose(recovered, image.ravel(), atol=1e-6)


def test_many_local_steps_on_one_example_do_not_hide_it_from_the_first_layer() -> None:
    rng = np.random.default_rng(0)
    x, y, kernel, bias = rng.random((1, 12)), np.array([3]), rng.normal(size=(12, 5)), np.zeros(5)
    before = [kernel, bias]
    for _ in range(10):
        # The bias enters the logits as the weight of a constant input of 1.
        extended = np.vstack([kernel, bias])
        slopes, bias_slope = softmax_regression_gradient(np.c_[x, 1.0], y, extended)
        kernel, bias = kernel - 0.1 * slopes[:-1], bias - 0.1 * bias_slope
    update = reconstruction.update_to_gradient(before, [kernel, bias], 0.1, num_steps=10)
    np.testing.assert_allclose(reconstruction.invert_dense(*update), x[0], atol=1e-9)


def test_of_a_batch_each_unit_gives_the_mean_weighted_by_its_errors() -> None:
    rng = np.random.default_rng(0)
    x, y, kernel = rng.random((6, 12)), rng.integers(0, 5, 6), rng.normal(size=(12, 5))
    inputs, units = reconstruction.invert_dense_per_unit(*softmax_regression_gradient(x, y, kernel))
    errors = softmax(x @ kernel) - np.eye(5)[y]
    np.testing.assert_array_equal(units, np.arange(5))
    np.testing.assert_allclose(inputs, (errors / errors.sum(axis=0)).T @ x)


def test_dead_units_are_left_out_and_a_unit_alive_for_one_example_gives_it() -> None:
    x = np.random.default_rng(0).random((2, 12))
    errors = np.array([[0.3, 0.0, -0.2], [0.1, 0.0, 0.0]])
    inputs, units = reconstruction.invert_dense_per_unit(x.T @ errors, errors.sum(axis=0))
    np.testing.assert_array_equal(units, [0, 2])
    np.testing.assert_allclose(inputs[1], x[0])


def test_a_dead_layer_is_refused_with_its_largest_bias_gradient() -> None:
    with pytest.raises(PrivacyError, match="3e-20"):
        reconstruction.invert_dense(np.zeros((4, 2)), np.array([1e-20, -3e-20]))
    inputs, units = reconstruction.invert_dense_per_unit(np.zeros((4, 2)), np.zeros(2))
    assert inputs.shape == (0, 4)
    assert units.shape == (0,)


@pytest.mark.parametrize(
    ("kernel", "bias", "message"),
    [
        (np.ones((4, 3)), np.ones(2), r"\(4, 3\) and \(2,\)"),
        (np.ones(4), np.ones(1), r"\(4,\)"),
        (np.full((4, 2), np.nan), np.ones(2), "8 of 8"),
        (np.ones((4, 2)), np.array([1, np.inf]), "1 of 2"),
    ],
)
def test_a_dense_gradient_of_wrong_shape_or_value_is_refused(
    kernel: np.ndarray, bias: np.ndarray, message: str
) -> None:
    for attack in (reconstruction.invert_dense, reconstruction.invert_dense_per_unit):
        with pytest.raises(PrivacyError, match=message):
            attack(kernel, bias)


@given(
    before=arrays(np.float64, (3, 2), elements=WEIGHTS),
    gradient=arrays(np.float64, (3, 2), elements=WEIGHTS),
    learning_rate=st.floats(0.01, 1),
    num_steps=st.integers(1, 5),
)
def test_an_update_gives_back_the_gradient_of_its_steps(
    before: np.ndarray, gradient: np.ndarray, learning_rate: float, num_steps: int
) -> None:
    after = before - num_steps * learning_rate * gradient
    (found,) = reconstruction.update_to_gradient(
        [before], [after], learning_rate, num_steps=num_steps
    )
    np.testing.assert_allclose(found, gradient, atol=1e-12)


@pytest.mark.parametrize(
    ("before", "after", "settings", "message"),
    [
        ([np.ones(2)], [], {}, "1 arrays and after has 0"),
        ([np.ones(2)], [np.ones(3)], {}, r"\(2,\) before, \(3,\) after"),
        ([np.ones(2)], [np.array([1, np.nan])], {}, "1 of 2"),
        ([np.ones(2)], [np.ones(2)], {"learning_rate": 0.0}, "learning_rate"),
        ([np.ones(2)], [np.ones(2)], {"num_steps": 0}, "num_steps"),
    ],
)
def test_an_update_that_does_not_fit_is_refused(
    before: list, after: list, settings: dict, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        reconstruction.update_to_gradient(before, after, **({"learning_rate": 0.1} | settings))


@given(logits=arrays(np.float64, 10, elements=st.floats(-8, 8)), label=st.integers(0, 9))
def test_the_label_of_one_example_is_read_from_the_last_bias(
    logits: np.ndarray, label: int
) -> None:
    assert reconstruction.infer_label(softmax(logits) - np.eye(10)[label]) == label


@given(data=st.data(), size=st.integers(1, 40))
def test_label_counts_are_exact_when_the_mean_prediction_is_known(
    data: st.DataObject, size: int
) -> None:
    labels = data.draw(arrays(np.int64, size, elements=st.integers(0, 4)))
    logits = data.draw(arrays(np.float64, (size, 5), elements=st.floats(-6, 6)))
    mean = softmax(logits).mean(axis=0)
    counts = np.bincount(labels, minlength=5)
    if np.abs(mean - counts / size).sum() == 0:
        return
    found = reconstruction.estimate_label_counts(mean - counts / size, size, mean)
    np.testing.assert_array_equal(found, counts)


@given(data=st.data(), size=st.integers(1, 40))
def test_label_counts_add_up_to_the_batch_under_any_guess(data: st.DataObject, size: int) -> None:
    weights = st.floats(0.01, 1)
    mean, guess, truth = (data.draw(arrays(np.float64, 5, elements=weights)) for _ in range(3))
    gradient = mean / mean.sum() - truth / truth.sum()
    if np.abs(gradient).sum() < 1e-6:
        return
    found = reconstruction.estimate_label_counts(gradient, size, guess / guess.sum())
    assert found.sum() == size
    assert (found >= 0).all()


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (np.zeros(10), "zero everywhere"),
        (np.ones((2, 5)), r"\(2, 5\)"),
        (np.array([0.2, -0.1, 0.3]), "add up to 0.4"),
        (np.array([0.5, np.nan, -0.5]), "1 of 3"),
        (np.array([1.0, -0.6, -0.4]), r"Classes \[1, 2\]"),
    ],
)
def test_a_gradient_that_shows_no_single_label_is_refused(
    gradient: np.ndarray, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        reconstruction.infer_label(gradient)


@pytest.mark.parametrize(
    ("size", "guess", "message"),
    [
        (0, None, "batch_size"),
        (4, np.ones(2) / 2, "shape"),
        (4, np.ones(3), "sum of 3"),
        (4, np.array([1.5, -0.5, 0.0]), "minimum of -0.5"),
    ],
)
def test_label_counts_refuse_an_impossible_batch_or_guess(
    size: int, guess: np.ndarray | None, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        reconstruction.estimate_label_counts(np.array([0.5, -0.5, 0.0]), size, guess)
