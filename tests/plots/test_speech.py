import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import plots
from helpers.data import audio
from helpers.errors import DataError

T = np.arange(audio.CLIP_SAMPLES) / audio.SAMPLE_RATE
TONES = np.stack([0.5 * np.sin(2 * np.pi * hertz * T) for hertz in (500, 2_000)])


def drawing(**changes: object) -> dict:
    good: dict = {
        "sounds": TONES,
        "titles": ["low (synthetic)", "high (synthetic)"],
        "mel_bands": audio.log_mel_spectrogram(TONES),
        "band_centres": audio.band_centres(),
        "coefficients": audio.mfcc(TONES),
    }
    return good | changes


def test_each_clip_has_a_column_with_its_sound_its_bands_and_its_coefficients() -> None:
    figure = plots.spoken_words(**drawing())
    waves, bands, cepstra = np.array(figure.axes).reshape(3, 2)
    assert [ax.get_title() for ax in waves] == ["low (synthetic)", "high (synthetic)"]
    np.testing.assert_allclose(waves[1].lines[0].get_ydata(), TONES[1] / TONES[1].max())
    np.testing.assert_array_equal(
        bands[0].images[0].get_array(), audio.log_mel_spectrogram(TONES)[0].T
    )
    np.testing.assert_array_equal(
        cepstra[0].images[0].get_array(), audio.mfcc(TONES)[0, :, 1:, 0].T
    )
    assert {ax.get_xlabel() for ax in cepstra} == {"time (s)"}


def test_a_tone_is_brightest_at_its_own_label() -> None:
    low, high = plots.spoken_words(**drawing()).axes[2:4]
    texts = [tick.get_text() for tick in low.get_yticklabels()]
    places = dict(zip(texts, low.get_yticks(), strict=True))
    for ax, name in ((low, "500"), (high, "2,000")):
        brightest = int(np.argmax(np.asarray(ax.images[0].get_array())[:, 20]))
        assert abs(places[name] - brightest) <= 1


def test_clips_share_one_colour_scale_a_row() -> None:
    figure = plots.spoken_words(**drawing())
    limits = [ax.images[0].get_clim() for ax in figure.axes[2:]]
    assert limits[0] == limits[1]
    assert limits[2] == limits[3]
    assert limits[2][0] == -limits[2][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titles": ["one"]}, "2 sounds, 1 titles"),
        ({"band_centres": [1.0, 2.0]}, "40 bands for 2 centres"),
        ({"sounds": TONES * np.nan}, "sounds has shape"),
        ({"mel_bands": TONES}, "mel_bands has shape"),
        ({"titles": ["a", " "]}, "titles is empty"),
    ],
)
def test_what_does_not_describe_the_same_clips_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.spoken_words(**drawing(**changes))


def test_it_draws_on_the_figure_it_is_given() -> None:
    figure = plt.figure()
    assert plots.spoken_words(**drawing(), figure=figure) is figure
