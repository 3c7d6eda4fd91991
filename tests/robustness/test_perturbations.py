"""The physical perturbations: their laws, and the one severity at every picture size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from helpers.errors import RobustnessError
from helpers.robustness import perturbations
from helpers.robustness.perturbations import image as shared
from helpers.robustness.perturbations.blur import motion_length

NAMES = sorted(perturbations.PERTURBATIONS)
BOXES = np.array([[20.0, 30, 44, 42], [60, 8, 72, 36], [50, 60, 90, 76]])


def street(side: int = 96) -> np.ndarray:
    """A picture with large forms, edges and colours; the same view at every size."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    grey = 0.35 + 0.2 * np.sin(7 * x) * np.cos(5 * y)
    colours = np.stack([grey, grey * 0.95, grey * 0.85], axis=-1)
    for left, top, colour in ((0.2, 0.3, 0.9), (0.6, 0.1, 0.1), (0.5, 0.6, 0.75)):
        colours[(abs(x - left - 0.1) < 0.12) & (abs(y - top - 0.1) < 0.07)] = colour
    return colours.astype(np.float32)


def changed(name: str, severity: int, seed: int = 0, side: int = 96) -> np.ndarray:
    image = street(side)
    boxes = BOXES * side / 96
    rng = np.random.default_rng(seed)
    return perturbations.perturb(image, name, severity, rng, boxes).image


@pytest.mark.parametrize("name", NAMES)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    severity=st.integers(0, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=12)
def test_any_image_stays_an_image(
    name: str, height: int, width: int, severity: int, seed: int
) -> None:
    image = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    before = image.copy()
    boxes = np.array([[1.0, 1.0, width / 2, height - 1.0]])
    result = perturbations.perturb(image, name, severity, np.random.default_rng(seed), boxes)
    again = perturbations.perturb(image, name, severity, np.random.default_rng(seed), boxes)
    assert result.image.shape == image.shape
    assert result.image.dtype == np.float32
    assert result.image.min() >= 0
    assert result.image.max() <= 1
    assert result.boxes is not None
    assert (result.boxes[:, 2:] > result.boxes[:, :2]).all()
    np.testing.assert_array_equal(result.image, again.image)
    np.testing.assert_array_equal(image, before)
    if severity == 0:
        np.testing.assert_array_equal(result.image, image)


@pytest.mark.parametrize("name", NAMES)
def test_each_severity_distorts_more_than_the_one_before(name: str) -> None:
    clean = street()
    errors = [
        np.mean([np.square(changed(name, severity, seed) - clean).mean() for seed in range(8)])
        for severity in range(6)
    ]
    assert errors[0] == 0
    assert np.diff(errors).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_one_severity_is_the_same_view_at_every_size(name: str) -> None:
    """A spoilt picture of 192 pixels, made smaller, looks like the spoilt smaller picture."""
    for seed in range(3):
        large = changed(name, 3, seed, side=192).reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
        small = changed(name, 3, seed, side=96)
        by_size = [np.square(spoilt - street()).mean() for spoilt in (large, small)]
        # a small picture lacks the detail that JPEG loses first
        decibels = 5.0 if name == "jpeg" else 2.0
        assert abs(10 * np.log10(by_size[0] / by_size[1])) < decibels
        if name not in ("jpeg", "low_light"):  # whose blocks and grains are not the same ones
            assert structural_similarity(large, small, channel_axis=2, data_range=1) > 0.9


def test_a_batch_spoils_each_image_by_itself() -> None:
    images = np.stack([street(), street() * 0.5, street() * 0.8])
    boxes = [BOXES, BOXES[:1], np.zeros((0, 4))]
    whole = perturbations.perturb_batch(images, "vibration", 4, seed=3, boxes=boxes)
    first = perturbations.perturb_batch(images[:2], "vibration", 4, seed=3, boxes=boxes[:2])
    np.testing.assert_array_equal(whole.images[:2], first.images)
    assert whole.boxes is not None
    assert [len(b) for b in whole.boxes] == [3, 1, 0]
    assert perturbations.perturb_batch(images, "fog", 1).boxes is None


@pytest.mark.parametrize("name", ["defocus", "motion_blur"])
def test_blur_spreads_light_and_keeps_it(name: str) -> None:
    image = np.zeros((65, 65, 3), np.float32)
    image[32, 32] = 1.0
    change = perturbations.PERTURBATIONS[name].change
    light = shared.to_linear(change(image, 2, np.random.default_rng(0)))[..., 0]
    y, x = np.mgrid[:65, :65] - 32
    assert light.sum() == pytest.approx(1.0, abs=0.02)
    assert (light * x).sum() == pytest.approx(0.0, abs=0.1)
    assert (light * y).sum() == pytest.approx(0.0, abs=0.1)


def test_blur_is_as_wide_as_published() -> None:
    """Standard deviations of the point-spread functions, in pixels at 224, by the formulae."""
    for severity, (radius, sigma) in enumerate(
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), start=1
    ):
        steps = np.arange(2 * radius + 1)
        weights = np.exp(-0.5 * (steps / sigma) ** 2)
        half_gaussian = np.sqrt(np.cov(steps, aweights=weights, ddof=0))
        kernel = shared.line_kernel(motion_length(severity), angle=0.0)
        x = np.arange(len(kernel)) - len(kernel) // 2
        line = np.sqrt((kernel.sum(axis=0) * x**2).sum())
        # a point between pixels is shared by its neighbours, which spreads it by 1/6 on average
        assert line == pytest.approx(np.sqrt(half_gaussian**2 + 1 / 6), rel=0.01)
    kernel = shared.disc_kernel(6.0)
    x = np.arange(len(kernel)) - len(kernel) // 2
    assert np.sqrt((kernel.sum(axis=0) * x**2).sum()) == pytest.approx(6.0 / 2, rel=0.02)


def test_fog_leaves_the_share_of_contrast_that_imagenet_c_leaves() -> None:
    """Two grounds under one fog: their difference in light shrinks to 1 / (1 + w)."""
    for severity, weight in enumerate((1.5, 2.0, 2.5, 2.5, 3.0), start=1):
        left = []
        for seed in range(3):
            dark, bright = (
                shared.to_linear(
                    perturbations.fog(
                        np.full((32, 32, 3), level, np.float32),
                        severity,
                        np.random.default_rng(seed),
                    )
                )
                for level in (0.2, 0.6)
            )
            ground = np.diff(shared.to_linear(np.array([0.2, 0.6])))[0]
            left.append((bright - dark).mean() / ground)
        assert np.mean(left) == pytest.approx(1 / (1 + weight), rel=0.01)


def test_photons_scatter_by_the_root_of_their_number() -> None:
    image = np.full((224, 224, 3), 0.5, np.float32)
    noisy = shared.to_linear(perturbations.low_light(image, 1, np.random.default_rng(0)))
    light, exposure, white = float(shared.to_linear(image[0, 0, :1])[0]), 0.6, 60.0
    assert noisy.mean() == pytest.approx(light * exposure, rel=0.02)
    expected = exposure * np.sqrt(light * white + 1.0) / white
    assert noisy.std() == pytest.approx(expected, rel=0.03)


def test_ghosts_lie_on_the_line_through_the_sun_and_the_middle() -> None:
    """What the flare adds is symmetric about that line, but for the hexagons' own edges."""
    black = np.zeros((128, 128, 3), np.float32)
    for seed in range(5):
        added = shared.to_linear(perturbations.sun_flare(black, 2, np.random.default_rng(seed)))
        y, x = np.mgrid[:128, :128] - 63.5
        angle = np.random.default_rng(seed).uniform(0.0, 2 * np.pi)
        across = np.cos(angle) * y - np.sin(angle) * x
        weight = added.sum(axis=2) - added.min()
        assert abs((weight * across).sum() / weight.sum()) < 2.0


def test_flare_takes_contrast_and_adds_only_light() -> None:
    clean = street()
    flared = changed("sun_flare", 4)
    assert (flared >= clean - 1e-6).all()
    assert flared.std() < clean.std() or flared.mean() > clean.mean() + 0.1


def test_dirt_covers_the_share_that_it_says() -> None:
    white = np.ones((200, 200, 3), np.float32)
    for severity, share in enumerate((0.05, 0.10, 0.16, 0.24, 0.34), start=1):
        dirty = perturbations.lens_dirt(white, severity, np.random.default_rng(severity))
        light = shared.to_linear(dirty)[..., 0]
        middle = (1.0 + light.min()) / 2
        assert (light < middle).mean() == pytest.approx(share, abs=0.01)


def test_occlusion_hides_its_share_of_a_box_and_moves_none() -> None:
    image = np.full((96, 96, 3), 0.9, np.float32)
    box = np.array([[30.0, 40, 60, 55]])
    for severity, share in enumerate((0.1, 0.2, 0.3, 0.4, 0.5), start=1):
        result = perturbations.perturb(
            image, "occlusion", severity, np.random.default_rng(severity), box
        )
        hidden = (result.image < 0.89).all(axis=2)[40:55, 30:60].mean()
        assert hidden == pytest.approx(share, abs=0.05)
        assert result.boxes is not None
        np.testing.assert_array_equal(result.boxes, box)
        assert (result.image < 0.89).all(axis=2).sum() > hidden * 450  # it reaches beyond the box


def test_a_patch_covers_its_share_of_a_box_and_is_printable() -> None:
    image = np.zeros((96, 96, 3), np.float32)
    box = np.array([[30.0, 30, 66, 66]])
    white = np.ones((8, 8, 3), np.float32)
    stuck = perturbations.printed_patch(image, 5, np.random.default_rng(1), boxes=box, patch=white)
    assert (stuck > 0).mean() * 96**2 == pytest.approx(0.25 * 36**2, rel=0.15)
    assert 0.6 < stuck.max() < 0.95  # paper is not perfectly white
    outside = np.ones((96, 96), bool)
    outside[25:71, 25:71] = False
    assert not stuck[outside].any()


def test_vibration_carries_boxes_with_their_objects() -> None:
    """Boxes drawn round a bright rectangle by hand, before and after, agree with the moved ones."""
    for seed in range(8):
        image = np.zeros((128, 128, 3), np.float32)
        image[50:70, 40:80] = 1.0
        box = np.array([[40.0, 50, 80, 70]])
        result = perturbations.perturb(image, "vibration", 5, np.random.default_rng(seed), box)
        rows, columns = np.nonzero(shared.to_linear(result.image[..., 0]) > 0.3)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert result.boxes is not None
        assert np.abs(result.boxes[0] - seen).max() < 3.0


def test_severities_distort_as_much_as_imagenet_c_s() -> None:
    """The recorded comparison with the package imagecorruptions bears out what the room says."""
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "perturbation_severity.json"
    recorded = json.loads(path.read_text())
    assert set(recorded["imagecorruptions"]) == {
        name for name, p in perturbations.PERTURBATIONS.items() if p.constants == "ImageNet-C"
    }
    for name, theirs in recorded["imagecorruptions"].items():
        gaps = [
            abs(a["ssim"] - b["ssim"])
            for a, b in zip(recorded["ours"]["224"][name], theirs, strict=True)
        ]
        assert max(gaps) < 0.07, name


def test_mean_performance_under_corruption() -> None:
    scores = {"fog": [0.8, 0.6, 0.4], "rain": [0.9, 0.7, 0.5]}
    summed = perturbations.robustness(0.9, scores)
    assert summed.mpc == pytest.approx(0.65)
    assert summed.relative == pytest.approx(0.65 / 0.9)
    assert summed.by_perturbation == pytest.approx({"fog": 0.6, "rain": 0.7})
    assert summed.worst == "fog"
    with pytest.raises(RobustnessError, match="same number"):
        perturbations.robustness(0.9, {"fog": [0.8], "rain": [0.9, 0.7]})
    with pytest.raises(RobustnessError, match="above 0"):
        perturbations.robustness(0.0, {"fog": [0.8]})


def test_bad_input_is_named() -> None:
    rng, image = np.random.default_rng(0), street()
    with pytest.raises(RobustnessError, match="float32"):
        perturbations.fog(np.zeros((8, 8, 3), np.float64), 1, rng)
    with pytest.raises(RobustnessError, match="scale it"):
        perturbations.fog(image * np.float32(255), 1, rng)
    with pytest.raises(RobustnessError, match="NaN"):
        perturbations.fog(np.full_like(image, np.nan), 1, rng)
    with pytest.raises(RobustnessError, match="severity=6"):
        perturbations.rain(image, 6, rng)
    with pytest.raises(RobustnessError, match="motion_blur"):
        perturbations.perturb(image, "hail", 1, rng)
    with pytest.raises(RobustnessError, match="x1 < x2"):
        perturbations.occlusion(image, 1, rng, boxes=np.array([[5.0, 5, 5, 9]]))
    with pytest.raises(RobustnessError, match="boxes for 1"):
        perturbations.perturb_batch(image[None].repeat(2, 0), "fog", 1, boxes=[BOXES])
