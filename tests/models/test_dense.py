"""The dense reference networks."""

import numpy as np
import pytest

from helpers import models
from helpers.errors import TaskError


def test_the_2nn_has_the_parameter_count_published_by_mcmahan_et_al() -> None:
    assert models.mcmahan_2nn().count_params() == 199_210


def test_one_hidden_layer_of_64_on_mnist_has_50890_parameters() -> None:
    assert models.mlp((28, 28, 1), 10).count_params() == (784 + 1) * 64 + (64 + 1) * 10 == 50_890


def test_the_output_is_logits_not_probabilities() -> None:
    x = np.random.default_rng(0).normal(size=(16, 30)).astype(np.float32)
    logits = models.mlp((30,), 4, hidden=(8, 8))(x).numpy()
    assert logits.shape == (16, 4)
    assert logits.dtype == np.float32
    assert logits.min() < 0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (models.mlp((8, 8, 1), 10, seed=s).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_layers_of_equal_shape_start_from_different_numbers() -> None:
    weights = models.mlp((32,), 32, hidden=(32,)).get_weights()
    assert not np.array_equal(weights[0], weights[2])


def test_no_hidden_layer_is_multinomial_logistic_regression() -> None:
    assert [w.shape for w in models.mlp((5,), 3, hidden=()).get_weights()] == [(5, 3), (3,)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"input_shape": (), "num_classes": 2}, "input_shape"),
        ({"input_shape": (0, 3), "num_classes": 2}, "input_shape"),
        ({"input_shape": (3,), "num_classes": 0}, "num_classes=0"),
        ({"input_shape": (3,), "num_classes": 2, "hidden": (4, 0)}, "hidden"),
        ({"input_shape": (3,), "num_classes": 2, "seed": -1}, "seed=-1"),
    ],
)
def test_a_size_that_cannot_be_is_named(arguments: dict, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        models.mlp(**arguments)
