"""The convolutional reference networks."""

from collections.abc import Callable

import numpy as np
import pytest

from helpers import models
from helpers.errors import TaskError


def test_the_cnn_has_the_parameter_count_published_by_mcmahan_et_al() -> None:
    assert models.mcmahan_cnn().count_params() == 1_663_370


def test_the_lenet_of_deep_leakage_has_the_layers_of_its_published_code() -> None:
    # Conv(3, 12, 5, stride 2), Conv(12, 12, 5, stride 2), Conv(12, 12, 5), Linear(768, 100).
    shapes = [w.shape for w in models.lenet_dlg().get_weights()]
    kernels = [(5, 5, 3, 12), (5, 5, 12, 12), (5, 5, 12, 12), (768, 100)]
    assert shapes == [s for k in kernels for s in (k, k[-1:])]
    assert models.lenet_dlg().count_params() == 85_036


def test_the_lenet_of_deep_leakage_pads_two_pixels_on_every_side() -> None:
    # PyTorch's padding=2 keeps a mirrored image mirrored at odd sizes; an uneven one does not.
    model = models.lenet_dlg((29, 29, 1), 2)
    first = model.layers[1]
    image = np.random.default_rng(0).normal(size=(1, 29, 29, 1)).astype(np.float32)
    kernel, bias = first.get_weights()
    first.set_weights([(kernel + kernel[::-1, ::-1]) / 2, bias])
    plain = first(model.layers[0](image)).numpy()
    turned = first(model.layers[0](image[:, ::-1, ::-1])).numpy()
    np.testing.assert_allclose(turned[:, ::-1, ::-1], plain, atol=1e-5)


def test_the_lenet_of_deep_leakage_starts_uniform_within_one_half() -> None:
    values = np.concatenate([w.ravel() for w in models.lenet_dlg().get_weights()])
    assert np.abs(values).max() <= 0.5
    # A uniform law on [-0.5, 0.5] has the standard deviation 1 / sqrt(12).
    assert values.std() == pytest.approx(12**-0.5, rel=0.02)


def test_wongs_network_has_the_stated_parameter_count() -> None:
    assert models.wong_cnn().count_params() == 166_406


def test_the_small_cnn_has_the_parameter_count_of_the_keras_example() -> None:
    assert models.small_cnn().count_params() == 34_826


def test_group_normalisation_adds_a_scale_and_a_shift_a_channel_and_no_hidden_state() -> None:
    plain, normed = models.small_cnn(), models.small_cnn(norm="group")
    assert normed.count_params() - plain.count_params() == 2 * (32 + 64)
    assert not normed.non_trainable_weights


def test_group_normalisation_treats_each_example_by_itself() -> None:
    model = models.small_cnn((14, 14, 1), 3, (4, 6), norm="group")
    x = np.random.default_rng(0).normal(size=(5, 14, 14, 1)).astype(np.float32)
    np.testing.assert_allclose(model(x)[2:3], model(x[2:3]), atol=1e-5)


@pytest.mark.parametrize(
    "make", [models.mcmahan_cnn, models.lenet_dlg, models.small_cnn, models.wong_cnn]
)
def test_every_network_gives_seeded_float32_logits(make: Callable) -> None:
    x = np.random.default_rng(0).random((4, 28, 28, 1), dtype=np.float32)
    first, again, other = (make((28, 28, 1), 7, seed=s)(x).numpy() for s in (1, 1, 2))
    assert first.shape == (4, 7)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_table_is_refused_with_the_shape_that_is_needed() -> None:
    with pytest.raises(TaskError, match="height, width, channels"):
        models.mcmahan_cnn((28, 28), 10)


def test_an_image_too_small_for_the_poolings_is_refused() -> None:
    with pytest.raises(TaskError, match="8x8 is too small for 3"):
        models.small_cnn((8, 8, 1), 10, (8, 8, 8))


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(TaskError, match="norm='batch'"):
        models.small_cnn(norm="batch")  # type: ignore[arg-type]
