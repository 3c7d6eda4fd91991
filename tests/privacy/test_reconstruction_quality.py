import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import PrivacyError
from helpers.privacy.reconstruction import match, psnr, ssim

Digits = tuple[np.ndarray, np.ndarray]


def test_equal_images_score_the_maximum(digits: Digits) -> None:
    image = digits[0][0]
    assert ssim(image, image) == pytest.approx(1.0)
    assert psnr(image, image) == np.inf


def test_psnr_is_minus_ten_log_of_the_mean_squared_error(digits: Digits) -> None:
    image = digits[0][0]
    noisy = image + np.random.default_rng(0).normal(0, 0.2, image.shape)
    assert psnr(image, noisy) == pytest.approx(-10 * np.log10(np.mean((image - noisy) ** 2)))


def test_noise_scores_low_against_a_digit(digits: Digits) -> None:
    image = digits[0][0]
    noise = np.random.default_rng(0).random(image.shape)
    assert psnr(noise, image) < 8
    assert abs(ssim(noise, image)) < 0.1


def test_scores_fall_as_noise_grows(digits: Digits) -> None:
    image = digits[0][0]
    noise = np.random.default_rng(0).normal(size=image.shape)
    for score in (psnr, ssim):
        values = [score(image, image + level * noise) for level in (0.01, 0.1, 0.5)]
        assert values == sorted(values, reverse=True)


def test_grey_images_score_the_same_with_and_without_a_channel_axis(digits: Digits) -> None:
    a, b = digits[0][:2]
    assert ssim(a, b) == pytest.approx(ssim(a[..., 0], b[..., 0]))


@given(st.permutations(range(8)))
def test_matching_undoes_any_shuffle(digits: Digits, order: list[int]) -> None:
    originals = digits[0][:8]
    found = originals[order]
    np.testing.assert_array_equal(found[match(found, originals)], originals)


def test_matching_minimises_the_total_error_where_greedy_choice_fails() -> None:
    # Each image alone is closest to original 0; only one may have it.
    originals, images = np.array([[0.0], [1.0]]), np.array([[0.1], [0.4]])
    np.testing.assert_array_equal(match(images, originals), [0, 1])
    np.testing.assert_array_equal(match(images[::-1], originals), [1, 0])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((8, 8)), np.ones((8, 9)), r"\(8, 8\) and \(8, 9\)"),
        (np.ones((2, 8, 8, 1)), np.ones((2, 8, 8, 1)), "shape"),
        (np.full((8, 8), np.nan), np.ones((8, 8)), "64 pixels"),
    ],
)
def test_what_is_not_a_pair_of_images_is_refused(
    a: np.ndarray, b: np.ndarray, message: str
) -> None:
    for score in (psnr, ssim):
        with pytest.raises(PrivacyError, match=message):
            score(a, b)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(PrivacyError, match="6 x 9"):
        ssim(np.ones((6, 9)), np.ones((6, 9)))


def test_matching_refuses_batches_that_differ() -> None:
    with pytest.raises(PrivacyError, match=r"\(2, 3\) and \(3, 3\)"):
        match(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(PrivacyError, match="1 pixels"):
        match(np.array([[np.nan]]), np.ones((1, 1)))
