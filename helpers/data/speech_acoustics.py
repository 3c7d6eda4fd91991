"""From a dry voice to a recording: a vocal tract, a room, background noise, a distance.

A synthesiser speaks in a studio that no product is used in. These steps are the usual remedy: the
sound is stretched a little (a longer or shorter vocal tract), placed somewhere in the second,
convolved with a random decaying echo (a room), mixed with coloured noise, and scaled.
"""

from __future__ import annotations

import numpy as np

from helpers.data import audio

_STRETCH = (0.88, 1.14)  # of the sampling rate
_DECAY_S = (0.1, 0.5)  # until the echo has lost 60 dB
_DIRECT_DB = (6.0, 20.0)  # the voice itself above its echo
_SNR_DB = (5.0, 30.0)
_PEAK_DB = (-24.0, -1.0)  # of full scale
_FULL_SCALE = 32_767.0
_QUIET = 0.02  # of the peak: where a spoken word begins and ends


def record(speech: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Turn a spoken word into a recording of one second.

    Parameters
    ----------
    speech : numpy.ndarray
        ``(n,)``, not all zero.
    rate : int
        Its samples a second.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        int16 ``(16000,)`` at 16 kHz.
    """
    word = _trimmed(_stretched(speech, rate, rng))
    clip = in_a_room(_placed(word, rng), rng)
    loudness = np.sqrt(np.mean(np.square(word))) / 10 ** (rng.uniform(*_SNR_DB) / 20)
    return _at_a_distance(clip + loudness * noise(audio.CLIP_SAMPLES, rng), rng)


def background(rng: np.random.Generator) -> np.ndarray:
    """Return one second in which nobody speaks: int16 ``(16000,)``, noise that swells and fades."""
    t = np.linspace(0.0, 1.0, audio.CLIP_SAMPLES)
    swell = 1.0 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * (rng.uniform(0.2, 4) * t + rng.random()))
    sound = swell * noise(audio.CLIP_SAMPLES, rng) + rng.random() * noise(audio.CLIP_SAMPLES, rng)
    return _at_a_distance(in_a_room(sound, rng), rng)


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise between white and brown: power falling as ``f**-c``, c uniform in [0, 2].

    Parameters
    ----------
    count : int
        Samples.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        float64 ``(count,)``, with mean 0 and mean square 1.
    """
    spectrum = np.fft.rfft(rng.normal(size=count))
    steps = np.arange(len(spectrum), dtype=np.float64)
    steps[0] = np.inf  # no constant part
    sound = np.fft.irfft(spectrum * steps ** (-rng.uniform(0.0, 2.0) / 2), count)
    return sound / np.sqrt(np.mean(np.square(sound)))


def in_a_room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add an echo: noise that decays exponentially (Polack's model of late reverberation).

    Parameters
    ----------
    sound : numpy.ndarray
        float64 ``(n,)`` at 16 kHz.
    rng : numpy.random.Generator
        Draws the decay time, the strength and the echo itself.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``.
    """
    from scipy.signal import fftconvolve

    decay = rng.uniform(*_DECAY_S)
    t = np.arange(int(decay * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    echo = rng.normal(size=len(t)) * 10 ** (-3.0 * t / decay)
    echo *= 10 ** (-rng.uniform(*_DIRECT_DB) / 20) / np.linalg.norm(echo)
    echo[0] += 1.0
    return fftconvolve(sound, echo)[: len(sound)]


def _stretched(speech: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Resample to 16 kHz as if it had been sampled a little faster or slower than it was."""
    from scipy.signal import resample

    seconds = len(speech) / rate * rng.uniform(*_STRETCH)
    return resample(speech.astype(np.float64), max(1, round(seconds * audio.SAMPLE_RATE)))


def _trimmed(sound: np.ndarray) -> np.ndarray:
    loud = np.flatnonzero(np.abs(sound) > _QUIET * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1]


def _placed(word: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a word anywhere in the second that holds all of it; cut one that is longer."""
    room = audio.CLIP_SAMPLES - len(word)
    if room <= 0:
        return audio.one_second(word)
    before = int(rng.integers(room + 1))
    return np.pad(word, (before, room - before))


def _at_a_distance(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    peak = 10 ** (rng.uniform(*_PEAK_DB) / 20) * _FULL_SCALE
    return audio.to_int16(sound * (peak / np.abs(sound).max()))
