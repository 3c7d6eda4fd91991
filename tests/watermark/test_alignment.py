"""Alignment finds the owner's order again, and gives an innocent model no match."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import WatermarkError
from helpers.watermark.alignment import align
from helpers.watermark.suspect import Suspect

MARKED = 2  # the pointwise kernel between two depthwise ones
BITS = 128
MARGIN = 40.0  # an unmarked kernel projects to about 24
SHAPES = ((5, 4, 1, 24), (3, 3, 24, 1), (1, 1, 24, 24), (3, 3, 24, 1), (1, 1, 24, 24), (24, 8))


def network(seed: int, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> Suspect:
    """A depthwise-separable network with drawn weights."""
    rng = np.random.default_rng([seed, 1])
    kernels, biases = [], []
    for shape in shapes:
        kernels.append(rng.standard_normal(shape).astype(np.float32))
        width = shape[2] if len(shape) == 4 and shape[3] == 1 else shape[-1]
        biases.append(rng.standard_normal(width).astype(np.float32))
    return Suspect(lambda x: x, kernels, biases)


def disguised(model: Suspect, seed: int) -> Suspect:
    """Every group of channels in another order and scale: written out for this one network."""
    rng = np.random.default_rng([seed, 2])
    kernels, biases = [k.copy() for k in model.kernels], [b.copy() for b in model.biases]
    for producer, depthwise, consumer in ((0, 1, 2), (2, 3, 4), (4, None, 5)):
        order = rng.permutation(len(biases[producer]))
        into, out = np.exp(rng.uniform(-1.4, 1.4, (2, len(order)))).astype(np.float32)
        kernels[producer] = kernels[producer][..., order] * into
        biases[producer] = biases[producer][order] * into
        last = into
        if depthwise is not None:
            kernels[depthwise] = kernels[depthwise][:, :, order] * (out / into)[:, None]
            biases[depthwise] = biases[depthwise][order] * out
            last = out
        reading = kernels[consumer]
        kernels[consumer] = (
            reading[:, :, order] / last[:, None]
            if reading.ndim == 4
            else reading[order] / last[:, None]
        )
    return replace(model, kernels=kernels, biases=biases)


def noisy(model: Suspect, seed: int, share: float) -> Suspect:
    """Every weight moved, as fine-tuning does."""
    rng = np.random.default_rng([seed, 3])
    moved = [k + share * k.std() * rng.standard_normal(k.shape) for k in model.kernels]
    return replace(model, kernels=[k.astype(np.float32) for k in moved])


def projection(seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 4]).standard_normal((BITS, 24 * 24)).astype(np.float32)


def marked(seed: int) -> Suspect:
    """A network whose marked kernel gives a 1 for every row of the projection."""
    model = network(seed)
    rows = projection(seed)
    kernel = model.kernels[MARKED].ravel()
    kernel = kernel + np.linalg.pinv(rows) @ (MARGIN - rows @ kernel).clip(0)
    kernels = [*model.kernels]
    kernels[MARKED] = kernel.reshape(SHAPES[MARKED]).astype(np.float32)
    return replace(model, kernels=kernels)


def bit_error(suspect: Suspect, rows: np.ndarray) -> float:
    return float(np.mean(rows @ suspect.kernels[MARKED].ravel() <= 0))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), kernel=st.sampled_from([None, *range(len(SHAPES))]))
def test_a_disguised_model_comes_back_whatever_kernel_may_not_be_looked_at(
    seed: int, kernel: int | None
) -> None:
    owner = network(seed)
    found = align(disguised(owner, seed), owner, kernel)
    for a, b in zip(found.kernels, owner.kernels, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for a, b in zip(found.biases, owner.biases, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_disguised_and_fine_tuned_copy_shows_the_mark_again(seed: int) -> None:
    owner, rows = marked(seed), projection(seed)
    pirate = disguised(noisy(owner, seed, 0.3), seed)
    assert bit_error(owner, rows) == 0
    assert bit_error(pirate, rows) > 0.35
    assert bit_error(align(pirate, owner, MARKED), rows) < 0.03


def test_innocent_models_stay_at_a_coin_toss_and_would_not_if_the_mark_had_a_say() -> None:
    apart, together = [], []
    for seed in range(12):
        owner, rows, innocent = marked(seed), projection(seed), network(1000 + seed)
        apart.append(bit_error(align(innocent, owner, MARKED), rows))
        together.append(bit_error(align(innocent, owner, None), rows))
    # 12 x 128 fair coins have a standard deviation of 0.013.
    assert abs(np.mean(apart) - 0.5) < 0.05
    assert np.mean(together) < np.mean(apart) - 0.03


def fitted(kernel: np.ndarray, rows: np.ndarray, steps: int = 12_000) -> list[np.ndarray]:
    """Orders of a kernel's inputs and outputs that a key likes, by swapping two at a time."""
    rng = np.random.default_rng(0)
    width, planes = len(kernel), rows.reshape(len(rows), *kernel.shape)
    orders = [np.arange(width), np.arange(width)]
    held = kernel.copy()
    products = np.einsum("bij,ij->b", planes, held)
    for step in range(steps):
        axis, (i, j) = step % 2, rng.choice(width, 2, replace=False)
        change = held.take(j, axis) - held.take(i, axis)
        after = products + (planes.take(i, axis + 1) - planes.take(j, axis + 1)) @ change
        if np.minimum(after, 10).sum() > np.minimum(products, 10).sum():
            products = after
            orders[axis][[i, j]] = orders[axis][[j, i]]
            held = kernel[orders[0]][:, orders[1]]
    return orders


def test_a_reference_made_after_the_suspect_was_seen_convicts_an_innocent() -> None:
    """Why the reference must be the committed model: its channels can spell any key."""
    innocent, rows = network(77), projection(77)[:64]
    into, out = fitted(innocent.kernels[MARKED][0, 0], rows)
    kernels, biases = [k.copy() for k in innocent.kernels], [b.copy() for b in innocent.biases]
    for producer, depthwise, consumer, order in ((0, 1, 2, into), (2, 3, 4, out)):
        kernels[producer] = kernels[producer][..., order]
        kernels[depthwise] = kernels[depthwise][:, :, order]
        kernels[consumer] = kernels[consumer][:, :, order]
        biases[producer], biases[depthwise] = biases[producer][order], biases[depthwise][order]
    late = replace(innocent, kernels=kernels, biases=biases)
    assert bit_error(align(innocent, network(79), MARKED), rows) > 0.35
    assert bit_error(align(innocent, late, MARKED), rows) < 0.1


def test_an_aligned_suspect_keeps_its_answers_and_its_name() -> None:
    owner = network(1)
    suspect = replace(disguised(owner, 1), name="pirate")
    found = align(suspect, owner, MARKED)
    assert found.ask is suspect.ask
    assert found.name == "pirate"


def test_a_head_for_other_classes_takes_no_part() -> None:
    owner = network(3)
    pirate = disguised(owner, 3)
    rng = np.random.default_rng(0)
    head = rng.standard_normal((24, 5)).astype(np.float32)
    pirate = replace(
        pirate, kernels=[*pirate.kernels[:-1], head], biases=[*pirate.biases[:-1], head[0]]
    )
    found = align(pirate, owner, MARKED)
    np.testing.assert_allclose(found.kernels[MARKED], owner.kernels[MARKED], rtol=1e-3, atol=1e-4)
    assert found.kernels[-1].shape == (24, 5)


def test_dead_channels_do_no_harm() -> None:
    owner = network(4)
    kernels = [k.copy() for k in owner.kernels]
    kernels[0][..., :3] = 0
    owner = replace(owner, kernels=kernels)
    found = align(disguised(owner, 4), owner, MARKED)
    assert all(np.isfinite(k).all() for k in found.kernels)


def test_what_cannot_be_aligned_is_refused() -> None:
    owner = network(0)
    with pytest.raises(WatermarkError, match="hides its weights"):
        align(Suspect(lambda x: x, name="box"), owner, MARKED)
    with pytest.raises(WatermarkError, match="one architecture"):
        align(network(0, SHAPES[:-1]), owner, MARKED)
    with pytest.raises(WatermarkError, match="marked=6"):
        align(owner, owner, 6)
    for spoilt in (np.nan, np.inf):
        kernels = [*owner.kernels[:-1], np.full_like(owner.kernels[-1], spoilt)]
        with pytest.raises(WatermarkError, match="not finite"):
            align(replace(owner, kernels=kernels), owner, MARKED)
    broken = network(0, ((5, 4, 1, 24), (1, 1, 23, 24)))
    with pytest.raises(WatermarkError, match="no chain"):
        align(broken, broken)
