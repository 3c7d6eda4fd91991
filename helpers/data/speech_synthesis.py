"""Synthetic speech datasets: made once from a recipe, then kept in the cache.

The clips come in shards, each of them a file as soon as it is done, so an interrupted synthesis
goes on where it stopped. The cache keeps a dataset under a name that its recipe decides.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers._files import one_at_a_time
from helpers.data import arrays, audio, espeak, folders, speech_plan
from helpers.data.arrays import Arrays
from helpers.data.speech_plan import PARTS, Clip, Recipe
from helpers.errors import DataError

# Counts the changes to plan, acoustics and worker that alter a clip: part of the cache's key.
_VERSION = 1
_SHARD_CLIPS = 512


def synthesise(recipe: Recipe, name: str = "speech", progress: bool = True) -> Arrays:
    """Return the clips of `recipe`, from the cache where they are there.

    Parameters
    ----------
    recipe : Recipe
        The words, how many clips of each, and the seed.
    name : str
        What the file in the cache starts with.
    progress : bool
        Whether to show a progress bar while clips are made.

    Returns
    -------
    dict of str to numpy.ndarray
        ``x_train``, ``x_validation``, ``x_test`` int16 ``(n, 16000)`` at 16 kHz, and ``y_...``
        int32 ``(n,)``, indices into ``recipe.class_names``.

    Raises
    ------
    DataError
        If espeak-ng is missing or fails, or the cache cannot be written.
    """
    target = cached_file(recipe, name)
    with folders.writing_to(target.parent), one_at_a_time(target.with_suffix(".lock")):
        if target.exists():
            try:
                return arrays.read_verified(target)[0]
            except DataError:
                target.unlink()  # damaged: made again from the same recipe
        made = _make(recipe, target.with_suffix(".shards"), progress)
        arrays.write_verified(target, made, "synthetic")
        shutil.rmtree(target.with_suffix(".shards"))
    return made


def cached_file(recipe: Recipe, name: str = "speech") -> Path:
    """Return where the cache keeps the clips of `recipe`, whether or not they are there."""
    settings = json.dumps([_VERSION, espeak.package_version(), *astuple(recipe)])
    key = hashlib.sha256(settings.encode()).hexdigest()[:16]
    return folders.cache_folder() / f"{name}-synthetic-{key}.npz"


def _make(recipe: Recipe, folder: Path, progress: bool) -> Arrays:
    clips = speech_plan.plan(recipe)
    everything = [clip for part in PARTS for clip in clips[part]]
    folder.mkdir(exist_ok=True)
    shards = {
        folder / f"{start:06d}.npy": everything[start : start + _SHARD_CLIPS]
        for start in range(0, len(everything), _SHARD_CLIPS)
    }
    with tqdm(
        total=len(everything), desc="synthesise speech", unit="clip", disable=not progress
    ) as bar:
        missing = {path: part for path, part in shards.items() if not _is_whole(path, len(part))}
        bar.update(len(everything) - sum(map(len, missing.values())))
        if missing:
            _work(missing, bar)
    sounds = np.concatenate([np.load(path, allow_pickle=False) for path in shards])
    ends = np.cumsum([len(clips[part]) for part in PARTS])
    made = {}
    for part, sound in zip(PARTS, np.split(sounds, ends[:-1]), strict=True):
        made[f"x_{part}"] = sound
        made[f"y_{part}"] = np.array([clip.label for clip in clips[part]], np.int32)
    return made


def _is_whole(path: Path, count: int) -> bool:
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return False
    return bool(shape == (count, audio.CLIP_SAMPLES))


def _work(shards: dict[Path, list[Clip]], bar: tqdm) -> None:
    """Have a worker process make the shards, and wait for it."""
    job = {
        "processes": len(os.sched_getaffinity(0)),
        "shards": [
            (str(path), [astuple(clip) for clip in clips]) for path, clips in shards.items()
        ],
    }
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "helpers.data.speech_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as worker,
    ):
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(json.dumps(job))
            worker.stdin.close()
            for line in worker.stdout:
                bar.update(int(line))
        except BaseException:
            worker.kill()
            raise
        worker.wait()
        complaints.seek(0)
        said = complaints.read().strip().splitlines() or ["no message"]
    if worker.returncode:
        raise DataError(
            f"The synthesis of speech failed (exit status {worker.returncode}): {said[-1]}"
        )
