"""Speech Commands: its own split, the published sizes, and an archive that is not trusted."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers import data
from helpers.data import audio, catalog, google_speech
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server

WORD_CLIPS = {"train": 30_769, "validation": 3_703, "test": 4_074}  # of the ten words, v0.02


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, audio.SAMPLE_RATE, 0, "NONE", ""))
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def invented() -> dict[str, bytes]:
    """A small archive: two clips of each word in every part, five of other words, two noises.

    A clip's samples all have one value, which tells the clips apart.
    """
    rng = np.random.default_rng(0)
    members: dict[str, bytes] = {}
    lists: dict[str, list[str]] = {"validation": [], "testing": [], "training": []}
    value = 0
    for part, names in lists.items():
        for word in (*google_speech.WORDS, *("cat", "dog", "wow", "zero", "one")):
            for take in range(2 if word in google_speech.WORDS else 1):
                value += 1
                name = f"{word}/{part[:4]}{value:04d}_nohash_{take}.wav"
                members[f"./{name}"] = wav(np.full(16_000 if value % 3 else 9_000, value))
                names.append(name)
    for part in ("validation", "testing"):
        members[f"./{part}_list.txt"] = "\n".join(lists[part]).encode()
    for noise in ("tap", "dishes"):
        members[f"./_background_noise_/{noise}.wav"] = wav(rng.integers(1_000, 9_000, 200_000))
    members["./_background_noise_/README.md"] = b"not a sound"
    members["../outside.wav"] = b"never read"
    return members


@pytest.fixture
def archive(tmp_path: Path, write_tar: Callable[[Path, dict[str, bytes]], Path]) -> Path:
    return write_tar(tmp_path / "speech_commands_v0.02.tar.gz", invented())


def test_the_parts_are_those_of_the_lists_in_the_archive(archive: Path) -> None:
    read = google_speech.read_archive([archive])
    heard = {part: set(read[f"x_{part}"][:, 0]) for part in ("train", "validation", "test")}
    for part, file in (("validation", "validation"), ("test", "testing"), ("train", "training")):
        values = [
            int(name.split("/")[2][4:8])
            for name in invented()
            if f"/{file[:4]}" in name and name.split("/")[1] in google_speech.WORDS
        ]
        assert set(values) <= heard[part]
        assert np.bincount(read[f"y_{part}"]).tolist() == [2] * 12


def test_a_short_clip_is_followed_by_zeros(archive: Path) -> None:
    clips = google_speech.read_archive([archive])["x_train"]
    short = clips[(clips[:, 0] % 3 == 0) & (clips[:, 0] < 1_000)]
    assert len(short) > 0
    assert (short[:, :9_000] == short[:, :1]).all()
    assert not short[:, 9_000:].any()


def test_no_second_of_noise_is_heard_in_two_parts(archive: Path) -> None:
    read = google_speech.read_archive([archive])
    silence = google_speech.CLASS_NAMES.index("silence")
    cut = {part: read[f"x_{part}"][read[f"y_{part}"] == silence] for part in ("train", "test")}
    noises = [
        audio.read_wav(content, name)[0]
        for name, content in invented().items()
        if "_noise_" in name and name.endswith(".wav")
    ]

    def share_of_the_way(clip: np.ndarray) -> float:
        for noise in noises:
            windows = np.lib.stride_tricks.sliding_window_view(noise, 12)
            (found,) = np.nonzero((windows == clip[:12]).all(axis=1))
            if len(found):
                return float(found[0] / len(noise))
        raise AssertionError("the silence is not a piece of the noise")

    assert max(map(share_of_the_way, cut["train"])) + 16_000 / 200_000 <= 0.8
    assert min(map(share_of_the_way, cut["test"])) >= 0.9


def test_the_sizes_are_those_published_for_twelve_classes() -> None:
    names: list[str] = []
    lists: dict[str, list[str]] = {"validation": [], "test": [], "train": []}
    for part, count in WORD_CLIPS.items():
        for index in range(count):
            word = google_speech.WORDS[index % 10]
            lists[part].append(f"{word}/{part}{index}_nohash_0.wav")
        lists[part] += [f"cat/{part}{index}_nohash_0.wav" for index in range(count // 5)]
        names += lists[part]
    texts = {
        "validation_list.txt": "\n".join(lists["validation"]),
        "testing_list.txt": "\n".join(lists["test"]),
    }
    chosen = google_speech.choose(names, texts, "archive")
    silence = {part: -(-count // 10) for part, count in WORD_CLIPS.items()}
    sizes = {part: len(names) + silence[part] for part, names in chosen.items()}
    assert sizes == {"train": 36_923, "validation": 4_445, "test": 4_890}
    assert (sizes["train"], sizes["test"]) == catalog.find("speech_commands").full_counts


def test_the_other_words_are_the_twenty_five_that_are_left() -> None:
    assert len(set(google_speech.WORDS) | set(google_speech.OTHER_WORDS)) == 35


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"./testing_list.txt": None}, r"lacks testing_list\.txt"),
        ({"./validation_list.txt": b"\xff"}, "not the archive we expect"),
        ({"./_background_noise_/tap.wav": b"x"}, r"tap\.wav in .* is not a WAV file"),
        ({"./cat/train0043_nohash_0.wav": None, "./testing_list.txt": b""}, "not all of Speech"),
    ],
)
def test_an_archive_of_something_else_is_refused(
    tmp_path: Path,
    write_tar: Callable[[Path, dict[str, bytes]], Path],
    change: dict[str, bytes | None],
    message: str,
) -> None:
    members = {k: v for k, v in (invented() | change).items() if v is not None}
    path = write_tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(DataError, match=message):
        google_speech.read_archive([path])


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not the archive we expect"):
        google_speech.read_archive([tmp_path / "a.tar.gz"])


def test_it_is_fetched_verified_and_kept_as_a_dataset(
    archive: Path,
    serve: Callable[..., Server],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(archive.read_bytes())
    entry = replace(catalog.find("speech_commands"), files=(server.spec(archive.name),))
    monkeypatch.setitem(catalog.ENTRIES, "speech_commands", entry)
    ds = data.speech_commands("full", progress=False)
    assert ds.source == "downloaded"
    assert ds.x_validation is not None
    assert ds.x_validation.shape == (24, audio.CLIP_SAMPLES)
    assert "24 train + 24 validation + 24 test clips of 1 s" in ds.describe()
    data.speech_commands("auto", progress=False)
    assert len(server.requests) == 1
