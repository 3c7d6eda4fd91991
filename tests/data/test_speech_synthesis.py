"""Synthetic speech: who says what, how it is recorded, and that a seed decides all of it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress
from tqdm import tqdm

from helpers import data
from helpers.data import audio, catalog, espeak, speech_acoustics, speech_plan, speech_synthesis
from helpers.data.arrays import Arrays
from helpers.data.speech_plan import Recipe
from helpers.errors import DataError

SMALL = Recipe(("yes", "no"), ("cat", "dog"), clips=(5, 1, 2), seed=3)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_synthesis, "_SHARD_CLIPS", 8)


# --- the plan


def test_a_test_voice_has_a_timbre_that_training_never_heard() -> None:
    clips = speech_plan.plan(Recipe(("yes", "no"), ("cat",), clips=(300, 100, 100)))
    heard = {
        part: {clip.voice.split("+")[1].lower().rstrip("0123456789") for clip in of_part}
        for part, of_part in clips.items()
    }
    assert not heard["train"] & heard["test"]
    assert not heard["train"] & heard["validation"]
    assert not heard["validation"] & heard["test"]


def test_hundreds_of_voices_speak() -> None:
    voices = speech_plan.split_voices(espeak.variants(), np.random.default_rng(0))
    counts = {part: len(names) for part, names in voices.items()}
    assert sum(counts.values()) == len(espeak.variants()) * len(espeak.ACCENTS) > 600
    assert counts["train"] > 2 * counts["test"] > 2 * counts["validation"] > 0


def test_classes_are_balanced_and_shuffled_in_every_part() -> None:
    clips = speech_plan.plan(SMALL)
    for part, count in zip(speech_plan.PARTS, SMALL.clips, strict=True):
        labels = [clip.label for clip in clips[part]]
        assert np.bincount(labels).tolist() == [count] * 4
    assert [clip.label for clip in clips["train"]] != sorted(clip.label for clip in clips["train"])
    names = SMALL.class_names
    for clip in clips["train"]:
        said = {"silence": {""}, "unknown": {"cat", "dog"}}
        assert clip.word in said.get(names[clip.label], {names[clip.label]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": ("yes", "no way")}, "'no way'"),
        ({"words": ("yes", "yes")}, "different"),
        ({"others": ("yes",)}, "different"),
        ({"words": ("yes",)}, "two words"),
        ({"clips": (5, 0, 1)}, "clips"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_a_recipe_that_cannot_be_spoken_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(SMALL, **changes)


# --- the recording


def test_noise_has_unit_power_and_a_slope_between_white_and_brown() -> None:
    slopes = []
    for seed in range(20):
        sound = speech_acoustics.noise(16_000, np.random.default_rng(seed))
        assert np.mean(np.square(sound)) == pytest.approx(1.0)
        power = np.square(np.abs(np.fft.rfft(sound)))[1:]
        slopes.append(linregress(np.log(np.arange(1, len(power) + 1)), np.log(power)).slope)
    assert -2.2 < min(slopes) < -1.5
    assert -0.5 < max(slopes) < 0.2


def test_a_room_adds_a_tail_that_fades() -> None:
    click = np.zeros(16_000)
    click[100] = 1.0
    heard = speech_acoustics.in_a_room(click, np.random.default_rng(0))
    power = np.square(heard[101:])
    assert power[:500].mean() > 2 * power[1_000:1_500].mean() > 0
    assert np.abs(heard[:100]).max() < 1e-9


def test_a_recording_is_one_second_that_never_overflows() -> None:
    rng = np.random.default_rng(0)
    speech = (8_000 * np.sin(np.arange(9_000) / 20)).astype(np.int16)
    for _ in range(10):
        for clip in (
            speech_acoustics.record(speech, 22_050, rng),
            speech_acoustics.background(rng),
        ):
            assert clip.shape == (audio.CLIP_SAMPLES,)
            assert clip.dtype == np.int16
            assert 1_000 < np.abs(clip.astype(int)).max() < 32_767


# --- synthesis, and the cache


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Arrays]:
    """The clips of `SMALL`, made once: the file they were cached in, and the arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESEC_CACHE", str(tmp_path_factory.mktemp("spoken")))
        patch.setattr(speech_synthesis, "_SHARD_CLIPS", 8)
        made = speech_synthesis.synthesise(SMALL, progress=False)
        return speech_synthesis.cached_file(SMALL), made


def test_every_part_has_its_clips_and_no_shard_is_left(spoken: tuple[Path, Arrays]) -> None:
    target, made = spoken
    counts = {"train": 20, "validation": 4, "test": 8}
    for part, count in counts.items():
        assert made[f"x_{part}"].shape == (count, audio.CLIP_SAMPLES)
        assert np.bincount(made[f"y_{part}"]).tolist() == [count // 4] * 4
    assert not list(target.parent.glob("*.shards"))


def test_speech_is_spoken_only_in_another_process(spoken: tuple[Path, Arrays]) -> None:
    """A C library with global state, under another licence, never loads in the caller's."""
    assert "libespeak" not in Path("/proc/self/maps").read_text()


def test_an_interrupted_synthesis_goes_on_to_the_same_samples(
    spoken: tuple[Path, Arrays], monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    work = speech_synthesis._work
    made: list[list[str]] = []

    def stopped_half_way(shards: dict, bar: tqdm) -> None:
        made.append([path.name for path in shards])
        work(dict(list(shards.items())[:2]), bar)
        raise KeyboardInterrupt

    def noted(shards: dict, bar: tqdm) -> None:
        made.append([path.name for path in shards])
        work(shards, bar)

    monkeypatch.setattr(speech_synthesis, "_work", stopped_half_way)
    with pytest.raises(KeyboardInterrupt):
        speech_synthesis.synthesise(SMALL, progress=False)
    monkeypatch.setattr(speech_synthesis, "_work", noted)
    resumed = speech_synthesis.synthesise(SMALL, progress=False)
    assert [len(names) for names in made] == [4, 2]
    assert all(np.array_equal(spoken[1][key], resumed[key]) for key in resumed)


def test_a_cached_dataset_is_not_made_again_unless_it_is_damaged(
    spoken: tuple[Path, Arrays], cache: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    target = speech_synthesis.cached_file(SMALL)
    cache.mkdir()
    shutil.copy(spoken[0], target)
    with monkeypatch.context() as patch:
        patch.setattr(speech_synthesis, "_work", None)  # cannot be called
        speech_synthesis.synthesise(SMALL, progress=False)
    content = bytearray(target.read_bytes())
    content[5_000] ^= 255
    target.write_bytes(bytes(content))
    again = speech_synthesis.synthesise(SMALL, progress=False)
    assert np.array_equal(spoken[1]["x_train"], again["x_train"])


def test_another_seed_or_word_is_another_dataset(cache: Path) -> None:
    recipes = (SMALL, replace(SMALL, seed=4), replace(SMALL, words=("yes", "go")))
    assert len({speech_synthesis.cached_file(recipe) for recipe in recipes}) == 3
    first, other = (speech_plan.plan(recipe)["train"] for recipe in recipes[:2])
    assert first != other
    assert first == speech_plan.plan(SMALL)["train"]


def test_a_voice_that_is_not_there_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "ACCENTS", ("tlhingan",))
    with pytest.raises(DataError, match="could not be made"):
        speech_synthesis.synthesise(SMALL, progress=False)


def test_without_the_package_the_error_says_how_to_get_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DataError, match=r"espeakng-loader.*GPL.*pip install"):
        data.speech_commands(progress=False)


# --- as a dataset


@pytest.mark.parametrize("name", ["speech_commands", "spoken_digits"])
def test_synthetic_speech_never_passes_for_real(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.data import offline

    monkeypatch.setattr(
        offline, "Recipe", lambda words, others, seed: Recipe(words, others, (2, 1, 1), seed)
    )
    ds = data.load(name, progress=False)
    assert ds.source == "synthetic"
    assert "NOT the real dataset" in ds.describe()
    assert "nobody spoke it" in ds.origin
    assert "clips of 1 s at 16,000 Hz" in ds.describe()
    assert ds.class_names == catalog.find(name).class_names
    assert ds.is_audio
    assert ds.x_train.dtype == np.float32
    assert ds.x_validation is not None
    assert ds.x_validation.shape == (len(ds.class_names), audio.CLIP_SAMPLES)
    assert audio.mfcc(ds.x_test).shape == (len(ds.class_names), 49, 10, 1)
