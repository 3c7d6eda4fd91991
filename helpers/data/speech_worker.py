"""Synthesise shards of clips: ``python -m helpers.data.speech_worker``, a job on its input.

A process of its own, because espeak-ng is a C library with one state a process. It forks once for
every shard, so each starts from the same state and its sound depends on its clips alone; a crash
of the library ends that fork and is reported. One line on the output tells of a finished shard.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np

from helpers._files import write_atomically
from helpers.data import audio, speech_acoustics
from helpers.data.speech_plan import Clip
from helpers.errors import DataError


@dataclass(frozen=True)
class Shard:
    """The clips of one file, int16 ``(n, 16000)``."""

    path: Path
    clips: tuple[Clip, ...]


def synthesise(shard: Shard) -> None:
    """Speak and record the clips of `shard`, and write them whole or not at all."""
    from helpers.data.espeak import Speaker

    speaker = Speaker()
    sounds = np.empty((len(shard.clips), audio.CLIP_SAMPLES), np.int16)
    for row, clip in enumerate(shard.clips):
        rng = np.random.default_rng(clip.seed)
        if not clip.word:
            sounds[row] = speech_acoustics.background(rng)
            continue
        speech = speaker.say(
            clip.word, clip.voice, clip.rate, clip.pitch, clip.intonation, clip.seed
        )
        sounds[row] = speech_acoustics.record(speech, speaker.sample_rate, rng)
    write_atomically(shard.path, lambda file: np.save(file, sounds))


def main() -> None:
    """Read ``{"processes": n, "shards": [...]}`` and make every shard."""
    import scipy.signal  # noqa: F401  before the forks, which would each spend a second on it

    job = json.load(sys.stdin)
    waiting = [
        Shard(Path(path), tuple(Clip(*values) for values in clips)) for path, clips in job["shards"]
    ]
    forks: dict[int, tuple[ForkProcess, Shard]] = {}
    while waiting or forks:
        while waiting and len(forks) < job["processes"]:
            shard = waiting.pop(0)
            fork = multiprocessing.get_context("fork").Process(target=synthesise, args=(shard,))
            fork.start()
            forks[fork.sentinel] = (fork, shard)
        for sentinel in connection.wait(list(forks)):
            _report(*forks.pop(sentinel))  # type: ignore[arg-type]


def _report(fork: ForkProcess, shard: Shard) -> None:
    fork.join()
    if fork.exitcode:
        raise DataError(f"{shard.path.name} could not be made: exit status {fork.exitcode}.")
    print(len(shard.clips), flush=True)


if __name__ == "__main__":
    main()
