"""Features of sound, beside TensorFlow's; and what a bad recording gets."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import audio
from helpers.errors import DataError

RNG = np.random.default_rng(0)
CLIPS = RNG.normal(size=(5, audio.CLIP_SAMPLES)) * RNG.uniform(0.01, 0.3, (5, 1))


def tone(hertz: float, seconds: float = 1.0, rate: int = audio.SAMPLE_RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def wav(samples: np.ndarray, rate: int = 8_000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, width, rate, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def test_the_coefficients_are_those_of_tensorflow_with_the_settings_of_mlperf_tiny() -> None:
    import tensorflow as tf

    loud = CLIPS / np.abs(CLIPS).max(axis=1, keepdims=True)
    spectra = tf.abs(tf.signal.stft(loud.astype(np.float32), 480, 320))
    filters = tf.signal.linear_to_mel_weight_matrix(40, 257, 16_000, 20.0, 4_000.0)
    bands = tf.math.log(tf.tensordot(spectra, filters, 1) + 1e-6)
    cepstra = tf.signal.mfccs_from_log_mel_spectrograms(bands)[..., :10, None]
    np.testing.assert_allclose(audio.mel_filters(), filters, atol=1e-5)
    np.testing.assert_allclose(audio.log_mel_spectrogram(CLIPS), bands, atol=1e-3)
    np.testing.assert_allclose(audio.mfcc(CLIPS), cepstra, atol=1e-3)


def test_a_clip_has_the_shape_that_mlperf_tiny_expects() -> None:
    features = audio.mfcc(CLIPS.astype(np.float32))
    assert features.shape == (5, 49, 10, 1)
    assert features.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 3.0))
def test_loudness_does_not_matter(gain: float) -> None:
    np.testing.assert_allclose(audio.mfcc(gain * CLIPS[:1]), audio.mfcc(CLIPS[:1]), atol=1e-2)


def test_digital_silence_has_features_too() -> None:
    assert np.isfinite(audio.mfcc(np.zeros((1, audio.CLIP_SAMPLES)))).all()


def test_a_batch_gives_what_its_clips_give_alone() -> None:
    many = np.tile(CLIPS, (60, 1))  # more than are computed at a time
    np.testing.assert_allclose(audio.mfcc(many)[-1], audio.mfcc(CLIPS[-1:])[0], atol=1e-4)


@pytest.mark.parametrize("hertz", [300.0, 1_000.0, 3_000.0])
def test_a_tone_lights_the_band_it_lies_in(hertz: float) -> None:
    bands = audio.log_mel_spectrogram(tone(hertz)[None])[0]
    nearest = int(np.argmin(np.abs(audio.band_centres() - hertz)))
    assert abs(int(np.argmax(bands.mean(axis=0))) - nearest) <= 1


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (np.zeros(16_000), r"clip\[None\]"),
        (np.zeros((2, 8_000)), r"\(n, 16000\)"),
        (np.zeros((2, 16_000), np.int16), "int16"),
        (np.full((1, 16_000), np.nan), "NaN"),
    ],
)
def test_what_is_not_a_clip_is_refused(clips: np.ndarray, message: str) -> None:
    for features in (audio.mfcc, audio.log_mel_spectrogram):
        with pytest.raises(DataError, match=message):
            features(clips)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 2.0), st.floats(300, 1_500))
def test_stretching_divides_the_frequency_of_a_tone(factor: float, hertz: float) -> None:
    clip = audio.stretch(tone(hertz)[None], np.array([factor]))[0, 4_000:12_000]
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip)), 2**17))
    assert np.argmax(spectrum) * audio.SAMPLE_RATE / 2**17 == pytest.approx(hertz / factor, abs=1)


def test_stretching_by_one_changes_nothing_and_the_middle_stays_in_the_middle() -> None:
    np.testing.assert_allclose(audio.stretch(CLIPS, np.ones(5)), CLIPS, atol=1e-6)
    click = np.zeros((2, audio.CLIP_SAMPLES))
    click[:, 7_990:8_010] = 1
    stretched = audio.stretch(click, np.array([0.5, 2.0]))[:, 7_000:9_000]
    np.testing.assert_allclose(stretched.sum(axis=1), [10, 40], atol=1.5)
    np.testing.assert_allclose(stretched, stretched[:, ::-1], atol=1e-3)


@pytest.mark.parametrize("factors", [np.ones(4), np.full(5, 0.4), np.full(5, np.nan)])
def test_a_factor_that_is_missing_or_out_of_range_is_refused(factors: np.ndarray) -> None:
    with pytest.raises(DataError, match="5 numbers from"):
        audio.stretch(CLIPS, factors)


def test_a_wav_file_is_read_as_scipy_reads_it() -> None:
    from scipy.io import wavfile

    content = wav(RNG.integers(-32_768, 32_768, 500, dtype=np.int16))
    samples, rate = audio.read_wav(content, "a.wav")
    expected_rate, expected = wavfile.read(io.BytesIO(content))
    assert rate == expected_rate
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WAV file"),
        (b"RIFF\x00\x00\x00\x00WAVEjunk", "not a WAV file"),
        (wav(np.zeros(8, np.int16), channels=2), "2 channels of 16 bits"),
        (wav(np.zeros(8, np.uint8), width=1), "1 channels of 8 bits"),
        (wav(np.zeros(0, np.int16)), "0 bytes of sound"),
    ],
)
def test_what_is_not_a_mono_recording_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.wav.*{message}"):
        audio.read_wav(content, "a.wav")


def test_resampling_keeps_a_tone() -> None:
    up = audio.resample(tone(440, rate=8_000), 8_000)
    np.testing.assert_allclose(up[500:-500], tone(440)[500:-500], atol=1e-3)
    assert audio.resample(np.arange(5), audio.SAMPLE_RATE).tolist() == [0, 1, 2, 3, 4]


@given(st.integers(1, 40_000))
@settings(max_examples=30)
def test_one_second_is_one_second_and_keeps_the_middle(count: int) -> None:
    clip = audio.one_second(np.arange(1, count + 1))
    assert clip.shape == (audio.CLIP_SAMPLES,)
    kept = clip[clip > 0]
    assert len(kept) == min(count, audio.CLIP_SAMPLES)
    assert abs((kept[0] - 1) - (count - kept[-1])) <= 1


def test_samples_that_would_overflow_are_clipped() -> None:
    assert audio.to_int16(np.array([-40_000.0, 0.6, 40_000.0])).tolist() == [-32_768, 1, 32_767]
    assert audio.to_float(np.array([-32_768, 16_384], np.int16)).tolist() == [-1.0, 0.5]
