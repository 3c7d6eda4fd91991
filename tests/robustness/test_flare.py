"""A flare taken apart, moved, and rendered through other lenses; the whole is ``sun_flare``."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.errors import RobustnessError
from helpers.robustness.perturbations import (
    PARTS,
    Lens,
    add_flare,
    draw_flare,
    flare_light,
    sun_flare,
)
from helpers.robustness.perturbations.lens import FLARE_STRENGTH

GREY = np.full((60, 80, 3), 0.3, np.float32)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_all_parts_of_a_drawn_flare_are_sun_flare(severity: int) -> None:
    flare = draw_flare(np.random.default_rng(7))
    whole = sun_flare(GREY, severity, np.random.default_rng(7))
    np.testing.assert_array_equal(add_flare(GREY, flare, FLARE_STRENGTH[severity - 1]), whole)


def test_the_light_of_parts_adds_up() -> None:
    flare = draw_flare(np.random.default_rng(1))
    parts = sum(flare_light(flare, GREY.shape, (part,)) for part in PARTS)
    np.testing.assert_allclose(parts, flare_light(flare, GREY.shape), atol=1e-6)


def test_parts_look_as_they_are_called() -> None:
    flare = draw_flare(np.random.default_rng(2)).moved(0.0, 0.2)
    veil, core, starburst, _ = (flare_light(flare, (64, 64), (part,)) for part in PARTS)
    assert np.ptp(veil, axis=(0, 1)).max() == 0
    place = np.unravel_index(core[..., 0].argmax(), (64, 64))
    np.testing.assert_allclose(place, (32, 32 + 0.2 * 64), atol=1)
    rows, columns = np.indices((64, 64)) + 0.5
    away = flare.distance(rows, columns, (64, 64))
    assert np.all(np.diff(core[..., 0].ravel()[np.argsort(away.ravel())]) <= 1e-6)
    ring = np.abs(away - 0.25) < 0.02
    assert starburst[ring].std() > 0.3 * starburst[ring].mean()


def test_a_lens_with_more_blades_has_more_spikes() -> None:
    def spikes(blades: int) -> int:
        flare = draw_flare(np.random.default_rng(0), Lens(blades=blades)).moved(0.0, 0.0)
        light = flare_light(flare, (201, 201), PARTS[2:3])[..., 0]
        turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        ring = light[
            np.rint(100 + 80 * np.sin(turn)).astype(int),
            np.rint(100 + 80 * np.cos(turn)).astype(int),
        ]
        bright = ring > ring.max() / 2
        return int(np.sum(bright & ~np.roll(bright, 1)))

    assert [spikes(blades) for blades in (6, 8, 12)] == [6, 8, 12]


def test_strength_zero_changes_nothing_and_more_is_brighter() -> None:
    flare = draw_flare(np.random.default_rng(3))
    np.testing.assert_allclose(add_flare(GREY, flare, 0.0), GREY, atol=1e-6)
    weak, strong = (add_flare(GREY, flare, strength) for strength in (0.1, 0.6))
    assert (strong >= weak - 1e-6).all()
    assert strong.mean() > weak.mean() + 0.05
    assert strong.max() == pytest.approx(1.0)


def test_bad_input_is_named() -> None:
    flare = draw_flare(np.random.default_rng(0))
    with pytest.raises(RobustnessError, match="halo"):
        add_flare(GREY, flare, 0.3, ("halo",))  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="strength=-1"):
        add_flare(GREY, flare, -1)
    with pytest.raises(RobustnessError, match="even number"):
        Lens(blades=5)
    with pytest.raises(RobustnessError, match="core above 0"):
        Lens(core=0.0)
