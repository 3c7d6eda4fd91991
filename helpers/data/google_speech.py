"""Google's Speech Commands as twelve classes: ten words, silence, and any other word.

The archive is read, never unpacked: members are taken by name, so no path inside it can lead
anywhere. Its own lists say which clips are for validation and test. As in the published
twelve-class protocol (Warden 2018, section 7), a part has a tenth as many clips of ``unknown``
and of ``silence`` as it has of the ten words:

- *unknown* is drawn at random, with a fixed seed, from the 25 other words;
- *silence* is cut from the recordings of background noise, each cut into stretches for train,
  validation and test, so that no second of noise is heard in two parts.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from helpers.data import audio
from helpers.data.arrays import Arrays
from helpers.data.speech_plan import PARTS, SILENCE, UNKNOWN
from helpers.errors import DataError

# In the order of MLPerf Tiny.
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
OTHER_WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "eight", "five", "follow", "forward", "four"),
    *("happy", "house", "learn", "marvin", "nine", "one", "seven", "sheila", "six", "three"),
    *("tree", "two", "visual", "wow", "zero"),
)
CLASS_NAMES = (*WORDS, SILENCE, UNKNOWN)

_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_NOISE_FOLDER = "_background_noise_"
_NOISE_SHARES = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}
_WORDS_PER_EXTRA = 10  # clips of the ten words for one of unknown, and for one of silence
_MOST_BYTES = 20_000_000  # of one member; the longest noise has 3 MB
_SEED = 0

Names = dict[str, list[str]]


def read_archive(paths: list[Path]) -> Arrays:
    """Turn ``speech_commands_v0.02.tar.gz``, the only one of `paths`, into its arrays.

    Returns
    -------
    dict of str to numpy.ndarray
        ``x_train``, ``x_validation``, ``x_test`` int16 ``(n, 16000)``; ``y_...`` int32 ``(n,)``.

    Raises
    ------
    DataError
        If it is not the archive we expect.
    """
    (path,) = paths
    try:
        # Two passes: a gzip cannot be read backwards, and the lists may come after the clips.
        contents = dict(_members(path, _LISTS.__contains__))
        lists = {
            name: content.decode() for name, content in contents.items() if content is not None
        }
        chosen = choose(contents, lists, str(path))
        wanted = {name for part in chosen.values() for name in part}
        wanted |= {name for name in contents if _is_noise(name)}
        clips = {
            name: audio.read_wav(content, f"{name} in {path}")[0]
            for name, content in _members(path, wanted.__contains__)
            if content is not None
        }
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not the archive we expect: {error}.") from error
    return assemble(chosen, clips)


def choose(names: Iterable[str], lists: Mapping[str, str], where: str) -> Names:
    """Choose the clips of the words and of ``unknown`` for every part.

    Parameters
    ----------
    names : iterable of str
        Members, as ``word/speaker_nohash_take.wav``.
    lists : mapping of str to str
        The content of ``validation_list.txt`` and ``testing_list.txt``.
    where : str
        What to call the archive in an error.

    Returns
    -------
    dict of str to list of str
        Names by part, sorted, the words before the unknown ones.

    Raises
    ------
    DataError
        If words or clips are missing.
    """
    if missing := sorted(set(_LISTS) - set(lists)):
        raise DataError(f"{where} lacks {' and '.join(missing)}; it is not Speech Commands.")
    held_out = {
        line.strip(): part
        for file, part in _LISTS.items()
        for line in lists[file].splitlines()
        if line.strip()
    }
    words: Names = {part: [] for part in PARTS}
    others: Names = {part: [] for part in PARTS}
    for name in sorted(names):
        word = PurePosixPath(name).parent.name
        if name.endswith(".wav") and word in (*WORDS, *OTHER_WORDS):
            chosen = words if word in WORDS else others
            chosen[held_out.get(name, "train")].append(name)
    rng = np.random.default_rng(_SEED)
    for part in PARTS:
        count = _share(len(words[part]))
        if count == 0 or len(others[part]) < count:
            raise DataError(
                f"{where} has {len(words[part])} clips of the ten words and {len(others[part])} "
                f"of others for the {part} part; it is not all of Speech Commands."
            )
        words[part] += sorted(rng.choice(others[part], count, replace=False).tolist())
    return words


def assemble(chosen: Names, clips: Mapping[str, np.ndarray]) -> Arrays:
    """Put the clips of every part together, silence cut from the noise at the end.

    Parameters
    ----------
    chosen : dict of str to list of str
        Names by part, from :func:`choose`.
    clips : mapping of str to numpy.ndarray
        int16 samples by name: those clips, and the noises.

    Returns
    -------
    dict of str to numpy.ndarray
        As :func:`read_archive`.

    Raises
    ------
    DataError
        If no noise is long enough to cut silence from.
    """
    noises = [clips[name] for name in sorted(clips) if _is_noise(name)]
    rng = np.random.default_rng(_SEED)
    made: Arrays = {}
    for part, names in chosen.items():
        words = [PurePosixPath(name).parent.name for name in names]
        labels = [CLASS_NAMES.index(word if word in WORDS else UNKNOWN) for word in words]
        silences = _share(sum(word in WORDS for word in words))
        sounds = [_padded(clips[name]) for name in names]
        sounds += [_cut(noises, *_NOISE_SHARES[part], rng) for _ in range(silences)]
        labels += [CLASS_NAMES.index(SILENCE)] * silences
        made[f"x_{part}"] = np.stack(sounds)
        made[f"y_{part}"] = np.array(labels, np.int32)
    return made


def _share(count: int) -> int:
    return -(-count // _WORDS_PER_EXTRA)


def _is_noise(name: str) -> bool:
    return name.startswith(f"{_NOISE_FOLDER}/") and name.endswith(".wav")


def _padded(samples: np.ndarray) -> np.ndarray:
    """Append zeros to a clip shorter than a second, as the published protocol does."""
    kept = samples[: audio.CLIP_SAMPLES]
    return np.pad(kept, (0, audio.CLIP_SAMPLES - len(kept)))


def _cut(
    noises: list[np.ndarray], start: float, end: float, rng: np.random.Generator
) -> np.ndarray:
    """Cut one second at random from between two shares of the length of a random noise."""
    long_enough = [
        noise for noise in noises if (end - start) * len(noise) >= audio.CLIP_SAMPLES + 1
    ]
    if not long_enough:
        raise DataError("The archive has no background noise long enough to cut silence from.")
    noise = long_enough[int(rng.integers(len(long_enough)))]
    first, last = int(np.ceil(start * len(noise))), int(end * len(noise)) - audio.CLIP_SAMPLES
    at = int(rng.integers(first, last + 1))
    return noise[at : at + audio.CLIP_SAMPLES]


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the name of every regular file, with its content where it is wanted."""
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isreg():
                continue
            if not wanted(name):
                yield name, None
                continue
            if member.size > _MOST_BYTES:
                raise DataError(f"{name} in {path} has {member.size:,} bytes: not a word's clip.")
            file = archive.extractfile(member)
            yield name, file.read() if file is not None else None
