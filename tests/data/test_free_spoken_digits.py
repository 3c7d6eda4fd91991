"""Human digits from a folder: who says what, the authors' split, and what a bad file gets."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from helpers import data
from helpers.data import free_spoken_digits, partition
from helpers.errors import DataError


def write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as writer:
        writer.setparams((1, 2, 8_000, 0, "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three digits of two speakers, takes 3 to 6: half a second of a tone each."""
    copies = tmp_path / "copies" / "free-spoken-digits"
    copies.mkdir(parents=True)
    tone = 9_000 * np.sin(2 * np.pi * 440 * np.arange(4_000) / 8_000)
    for digit in range(3):
        for speaker in ("theo", "george"):
            for take in range(3, 7):
                write(copies / f"{digit}_{speaker}_{take}.wav", tone)
    monkeypatch.setenv("EDGESEC_DATA", str(copies.parent))
    return copies


def test_takes_below_five_are_the_test_part_and_speakers_are_sites(folder: Path) -> None:
    ds = data.spoken_digits()
    assert ds.source == "local"
    assert "a subset, 12 + 12 of the 2,700 + 300 clips" in ds.origin
    assert np.bincount(ds.y_test).tolist() == [4, 4, 4]
    assert ds.site_train is not None
    assert {ds.site_names[site] for site in ds.site_train} == {"george", "theo"}
    assert ds.x_validation is None
    assert "CC BY-SA" in ds.describe()
    assert len(partition.by_site(ds.site_train)) == 2


def test_a_recording_is_centred_and_keeps_its_pitch_at_twice_the_rate(folder: Path) -> None:
    (clip, *_) = data.spoken_digits().x_train
    sounding = np.flatnonzero(np.abs(clip) > 0.05)
    assert abs(sounding[0] - 4_000) < 50
    assert abs(sounding[-1] - 12_000) < 50
    assert np.argmax(np.abs(np.fft.rfft(clip))) == 440
    assert np.abs(clip).max() == pytest.approx(9_000 / 32_768, rel=0.02)


def test_recordings_may_lie_in_the_folder_of_the_repository(folder: Path) -> None:
    (folder / "recordings").mkdir()
    for path in folder.glob("*.wav"):
        path.rename(folder / "recordings" / path.name)
    assert len(data.spoken_digits().x_test) == 12


@pytest.mark.parametrize("name", ["3_alice_0.wav", "hello.wav", "x_theo_1.wav", "1_theo_1000.wav"])
def test_a_name_that_says_nothing_is_named(folder: Path, name: str) -> None:
    write(folder / name, np.ones(100))
    with pytest.raises(DataError, match=rf"{name} is not called digit_speaker_take"):
        data.spoken_digits()


def test_a_folder_without_one_of_the_parts_is_refused(folder: Path) -> None:
    for path in folder.glob("*_[34].wav"):
        path.unlink()
    with pytest.raises(DataError, match="no recordings for the test part"):
        data.spoken_digits()


def test_it_cannot_be_fetched_and_the_error_says_where_it_is(cache: Path) -> None:
    for ask in (lambda: data.fetch("spoken_digits"), lambda: data.spoken_digits("full")):
        with pytest.raises(DataError, match=r"github\.com/Jakobovski.*EDGESEC_DATA"):
            ask()


def test_the_published_dataset_is_whole(real_copies: Path) -> None:
    if not (real_copies / "free-spoken-digits").is_dir():
        pytest.skip("no free-spoken-digits in the EDGESEC_DATA folder")
    ds = data.spoken_digits()
    assert "all of it" in ds.origin
    assert np.bincount(ds.y_test).tolist() == [30] * 10
    assert ds.site_test is not None
    assert np.bincount(ds.site_test).tolist() == [50] * len(free_spoken_digits.SPEAKERS)
