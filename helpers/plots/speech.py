"""Spoken words to look at: the sound, its mel bands, and the features a network is given."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import ArrayLike, NDArray

from helpers.errors import DataError
from helpers.plots.style import COLOURS, SEQUENTIAL_MAP, require_label

# Inches: a clip's column, and the rows of sound, mel bands and coefficients.
COLUMN = 2.2
ROWS = (1.0, 1.9, 1.3)
# Diverging, because a coefficient is as often below zero as above.
COEFFICIENT_MAP = "PuOr"
LABELLED_HZ = (250, 500, 1_000, 2_000, 3_000)


def spoken_words(
    sounds: ArrayLike,
    titles: Sequence[str],
    mel_bands: ArrayLike,
    band_centres: ArrayLike,
    coefficients: ArrayLike,
    *,
    seconds: float = 1.0,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw clips side by side: waveform on top, mel bands below, cepstral coefficients last.

    Parameters
    ----------
    sounds
        float ``(n, samples)`` in [-1, 1]; each is scaled to its own peak.
    titles
        A title a clip; say *synthetic* where nobody spoke it.
    mel_bands
        ``(n, frames, bands)``, logarithms, low to high, as
        :func:`helpers.data.audio.log_mel_spectrogram` makes them.
    band_centres
        ``(bands,)``, Hz, as :func:`helpers.data.audio.band_centres` gives them.
    coefficients
        ``(n, frames, coefficients)`` or with a channel behind, as :func:`helpers.data.audio.mfcc`
        makes them. The first tells the loudness and dwarfs the others, so it is not drawn.
    seconds
        How long a clip is.
    figure
        Figure or subfigure to draw on; a new figure when left out.

    Returns
    -------
    Figure
        One colour scale a row, so that clips can be compared.

    Raises
    ------
    DataError
        When the arrays do not describe the same clips, or hold NaN or infinity.
    """
    waves, bands = _finite(sounds, 2, "sounds"), _finite(mel_bands, 3, "mel_bands")
    cepstra = np.asarray(coefficients, np.float64)
    cepstra = _finite(cepstra[..., 0] if cepstra.ndim == 4 else cepstra, 3, "coefficients")
    centres = _finite(band_centres, 1, "band_centres")
    counts = (len(waves), len(titles), len(bands), len(cepstra))
    if len(set(counts)) > 1 or bands.shape[2] != len(centres) or cepstra.shape[2] < 2:
        raise DataError(
            f"{counts[0]} sounds, {counts[1]} titles, {counts[2]} mel spectrograms with "
            f"{bands.shape[2]} bands for {len(centres)} centres, and {counts[3]} clips of "
            f"{cepstra.shape[2]} coefficients do not describe the same clips."
        )
    if figure is None:
        size = (0.9 + COLUMN * len(waves), sum(ROWS))
        figure = plt.figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.subplots(
        3, len(waves), squeeze=False, sharex=True, sharey="row", height_ratios=ROWS
    )
    for column, title in enumerate(titles):
        _draw_wave(axes[0, column], waves[column], seconds, title)
        _draw_map(axes[1, column], bands[column], bands, SEQUENTIAL_MAP, seconds)
        _draw_map(
            axes[2, column], cepstra[column, :, 1:], cepstra[..., 1:], COEFFICIENT_MAP, seconds
        )
        axes[2, column].set_xlabel("time (s)")
    _label_rows(axes[:, 0], centres, cepstra.shape[2] - 1)
    return axes[0, 0].figure


def _finite(values: ArrayLike, dimensions: int, what: str) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions or array.size == 0 or not np.isfinite(array).all():
        raise DataError(
            f"{what} has shape {array.shape}; it must be non-empty and finite, with "
            f"{dimensions} dimensions."
        )
    return array


def _draw_wave(ax: Axes, wave: NDArray[np.float64], seconds: float, title: str) -> None:
    require_label(title, "titles")
    peak = np.abs(wave).max() or 1.0
    ax.plot(np.linspace(0, seconds, len(wave)), wave / peak, color=COLOURS[0], linewidth=0.5)
    ax.set_title(title, loc="center", fontsize=12)
    ax.grid(False)


def _draw_map(
    ax: Axes,
    picture: NDArray[np.float64],
    all_of_them: NDArray[np.float64],
    colours: str,
    seconds: float,
) -> None:
    low, high = float(all_of_them.min()), float(all_of_them.max())
    if colours == COEFFICIENT_MAP:
        high = max(abs(low), abs(high))
        low = -high
    extent = (0.0, seconds, -0.5, picture.shape[1] - 0.5)
    ax.imshow(
        picture.T, cmap=colours, vmin=low, vmax=high, origin="lower", aspect="auto", extent=extent
    )
    ax.grid(False)


def _label_rows(first: NDArray, centres: NDArray[np.float64], num_coefficients: int) -> None:
    wave, bands, cepstra = first
    wave.set(ylabel="sound\n(of its peak)", yticks=[-1, 0, 1])
    shown = [hertz for hertz in LABELLED_HZ if centres[0] <= hertz <= centres[-1]]
    places = np.interp(shown, centres, np.arange(len(centres)))
    bands.yaxis.set_major_locator(FixedLocator(places.tolist()))
    bands.yaxis.set_major_formatter(FixedFormatter([f"{hertz:,}" for hertz in shown]))
    bands.set_ylabel("mel band (Hz)")
    ticks = np.unique(np.linspace(0, num_coefficients - 1, 3).astype(int))
    cepstra.set_yticks(ticks, [str(tick + 1) for tick in ticks])
    cepstra.set_ylabel("coefficient")
