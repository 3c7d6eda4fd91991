"""Sound as arrays: reading, resampling, and the features that a keyword spotter listens to.

The features are those of the keyword-spotting task of MLPerf Tiny (Banbury et al. 2021): 49
frames of 30 ms, one every 20 ms, 40 mel bands from 20 Hz to 4 kHz, 10 cepstral coefficients. They
need NumPy and SciPy only, so training and a device that runs Python share one implementation.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterator

import numpy as np

from helpers.errors import DataError

SAMPLE_RATE = 16_000  # Hz
CLIP_SAMPLES = 16_000  # one second
FRAME_SAMPLES = 480  # 30 ms
HOP_SAMPLES = 320  # 20 ms
NUM_FRAMES = 1 + (CLIP_SAMPLES - FRAME_SAMPLES) // HOP_SAMPLES
NUM_MEL_BANDS = 40
NUM_COEFFICIENTS = 10

_FFT_SAMPLES = 512
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 4_000.0
_FLOOR = 1e-6  # added to a band before its logarithm, as MLPerf Tiny does
_BATCH = 256  # clips at a time: their spectra take 50 MB


def mfcc(clips: np.ndarray) -> np.ndarray:
    """Compute the mel-frequency cepstral coefficients of one-second clips.

    Each clip is first divided by its largest magnitude, so that loudness does not matter.

    Parameters
    ----------
    clips : numpy.ndarray
        float ``(n, 16000)``, sound at 16 kHz.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, 49, 10, 1)``: frames, coefficients, one channel.

    Raises
    ------
    DataError
        If the clips do not have that shape, or hold NaN or infinity.

    References
    ----------
    Davis and Mermelstein, *Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences*, IEEE Transactions on Acoustics, Speech, and
    Signal Processing 28(4), 1980. Settings: Banbury et al., *MLPerf Tiny benchmark*, NeurIPS 2021
    datasets and benchmarks, and its reference implementation,
    https://github.com/mlcommons/tiny.
    """
    from scipy.fft import dct

    sounds = _checked(clips)
    features = np.empty((len(sounds), NUM_FRAMES, NUM_COEFFICIENTS, 1), np.float32)
    for rows in _batches(len(sounds)):
        cepstra = dct(_log_mel(_peak_normalised(sounds[rows])), type=2, norm="ortho", axis=-1)
        # TensorFlow scales the first coefficient as the others; the orthonormal transform does not
        cepstra[..., 0] *= math.sqrt(2.0)
        features[rows, ..., 0] = cepstra[..., :NUM_COEFFICIENTS]
    return features


def log_mel_spectrogram(clips: np.ndarray) -> np.ndarray:
    """Compute the logarithm of each clip's mel bands, what a listener could read a word from.

    Parameters
    ----------
    clips : numpy.ndarray
        float ``(n, 16000)``, sound at 16 kHz; each is divided by its largest magnitude.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, 49, 40)``: frames, mel bands, low to high; natural logarithm.

    Raises
    ------
    DataError
        If the clips do not have that shape, or hold NaN or infinity.
    """
    sounds = _checked(clips)
    bands = np.empty((len(sounds), NUM_FRAMES, NUM_MEL_BANDS), np.float32)
    for rows in _batches(len(sounds)):
        bands[rows] = _log_mel(_peak_normalised(sounds[rows]))
    return bands


def stretch(clips: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Play clips slower or faster, as if recorded at another rate: another voice says the word.

    A stretched clip is longer and lower, as a longer vocal tract sounds. It is stretched about its
    middle; what leaves the second is cut, and a gap at the ends is filled with the reflected sound.

    Parameters
    ----------
    clips : numpy.ndarray
        float ``(n, 16000)``, sound at 16 kHz.
    factors : numpy.ndarray
        float ``(n,)``, 0.5 to 2: a factor of 2 makes the sound twice as long and an octave lower.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, 16000)``, interpolated linearly.

    Raises
    ------
    DataError
        If the clips do not have that shape, or there is not one factor in that range a clip.

    References
    ----------
    Jaitly and Hinton, *Vocal tract length perturbation (VTLP) improves speech recognition*, ICML
    2013 workshop on deep learning for audio, speech and language, for the idea; here the tempo
    changes along.
    """
    sounds, scale = _checked(clips), np.asarray(factors, np.float64)
    if scale.shape != (len(sounds),) or not ((scale >= 0.5) & (scale <= 2)).all():
        raise DataError(f"factors must be {len(sounds)} numbers from 0.5 to 2, one a clip.")
    last = CLIP_SAMPLES - 1
    stretched = np.empty((len(sounds), CLIP_SAMPLES), np.float32)
    for rows in _batches(len(sounds)):
        places = last / 2 + (np.arange(CLIP_SAMPLES) - last / 2) / scale[rows, None]
        places = last - np.abs(last - np.abs(places))
        before = np.minimum(places.astype(np.int32), last - 1)
        share = (places - before).astype(np.float32)
        around = [np.take_along_axis(sounds[rows], at, 1) for at in (before, before + 1)]
        stretched[rows] = (1 - share) * around[0] + share * around[1]
    return stretched


def mel_filters() -> np.ndarray:
    """Return the triangles that gather a spectrum into mel bands, float64 ``(257, 40)``.

    Triangles evenly spaced on the mel scale of the HTK book, ``1127 ln(1 + f / 700)``, each with
    a peak of 1 and, as in TensorFlow, nothing from the constant part of the spectrum.
    """
    frequencies = np.arange(1, _FFT_SAMPLES // 2 + 1) * SAMPLE_RATE / _FFT_SAMPLES
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), NUM_MEL_BANDS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    position = _mel(frequencies)[:, None]
    rising = (position - lower) / (centre - lower)
    falling = (upper - position) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.pad(triangles, ((1, 0), (0, 0)))


def band_centres() -> np.ndarray:
    """Return the frequency at the middle of each mel band, Hz, float64 ``(40,)``."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), NUM_MEL_BANDS + 2)
    return 700.0 * np.expm1(edges[1:-1] / 1127.0)


def read_wav(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """Decode a mono WAV file of 16-bit samples.

    Parameters
    ----------
    content : bytes
        The whole file.
    where : str
        What to call it in an error.

    Returns
    -------
    samples : numpy.ndarray
        int16 ``(n,)``.
    rate : int
        Samples a second.

    Raises
    ------
    DataError
        If it is something else, is cut off, or holds no samples.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:
        raise DataError(f"{where} is not a WAV file ({error}). Replace or remove it.") from error
    if (channels, width) != (1, 2) or rate < 1 or not frames or len(frames) % 2:
        raise DataError(
            f"{where} has {channels} channels of {8 * width} bits and {len(frames):,} bytes of "
            "sound; expected one channel of 16 bits, and some sound. Replace or remove it."
        )
    return np.frombuffer(frames, "<i2").astype(np.int16), rate


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Bring a sound to 16 kHz with a polyphase filter.

    Parameters
    ----------
    samples : numpy.ndarray
        ``(n,)``.
    rate : int
        Its samples a second.

    Returns
    -------
    numpy.ndarray
        float64 ``(ceil(n * 16000 / rate),)``.
    """
    if rate == SAMPLE_RATE:
        return samples.astype(np.float64)
    from scipy.signal import resample_poly

    common = math.gcd(SAMPLE_RATE, rate)
    return resample_poly(samples.astype(np.float64), SAMPLE_RATE // common, rate // common)


def one_second(samples: np.ndarray) -> np.ndarray:
    """Centre a sound at 16 kHz ``(n,)`` in a clip of one second: cut at both ends, or padded.

    Returns
    -------
    numpy.ndarray
        ``(16000,)``, of the same dtype; the padding is zeros.
    """
    surplus = max(0, len(samples) - CLIP_SAMPLES)
    kept = samples[surplus // 2 : surplus // 2 + CLIP_SAMPLES]
    before = (CLIP_SAMPLES - len(kept)) // 2
    return np.pad(kept, (before, CLIP_SAMPLES - len(kept) - before))


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Round a sound in units of int16 to int16, clipped where it would overflow."""
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Scale int16 samples to float32 in [-1, 1)."""
    return np.divide(samples, np.float32(32_768), dtype=np.float32)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)


def _checked(clips: np.ndarray) -> np.ndarray:
    sounds = np.asarray(clips)
    if sounds.ndim != 2 or sounds.shape[1] != CLIP_SAMPLES or sounds.dtype.kind != "f":
        raise DataError(
            f"clips is {sounds.dtype} {sounds.shape}; it must be float (n, {CLIP_SAMPLES}), one "
            f"second at {SAMPLE_RATE:,} Hz a row. A single clip needs its own row: clip[None]."
        )
    if not all(np.isfinite(sounds[rows]).all() for rows in _batches(len(sounds))):
        raise DataError("clips holds NaN or infinity; remove those clips.")
    return sounds


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, start + _BATCH) for start in range(0, count, _BATCH))


def _peak_normalised(sounds: np.ndarray) -> np.ndarray:
    peak = np.abs(sounds).max(axis=1, keepdims=True)
    return (sounds / np.where(peak > 0, peak, 1)).astype(np.float32)


def _log_mel(sounds: np.ndarray) -> np.ndarray:
    """Logarithm of the mel bands of normalised clips, float32 ``(n, 49, 40)``."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(sounds, FRAME_SAMPLES, axis=1)
    frames = frames[:, ::HOP_SAMPLES][:, :NUM_FRAMES]
    turn = 2.0 * np.pi / FRAME_SAMPLES
    window = (0.5 - 0.5 * np.cos(turn * np.arange(FRAME_SAMPLES))).astype(np.float32)  # Hann
    magnitude = np.abs(rfft(frames * window, _FFT_SAMPLES, axis=-1))
    return np.log(magnitude @ mel_filters().astype(np.float32) + np.float32(_FLOOR))
