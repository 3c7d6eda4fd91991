"""Human recordings of the digits: the Free Spoken Digit Dataset, as published.

One WAV file a recording, 8 kHz, ``{digit}_{speaker}_{take}.wav``. Its authors' split is kept: takes
0 to 4 of every speaker are the test part. The speaker of each clip becomes its site, so a model can
be tried on a voice it never heard. The sound is brought to 16 kHz, which adds nothing above 4 kHz,
and centred in one second.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from helpers.data import audio
from helpers.data.arrays import Arrays
from helpers.errors import DataError

CLASS_NAMES = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")

_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d{1,3})\.wav")
_TEST_TAKES = 5


def read_folder(folder: Path) -> Arrays:
    """Read every recording of the folder.

    Parameters
    ----------
    folder : pathlib.Path
        Holds the WAV files, or a folder ``recordings`` that does.

    Returns
    -------
    dict of str to numpy.ndarray
        ``x_train``, ``x_test`` int16 ``(n, 16000)`` at 16 kHz; ``y_...`` and ``site_...`` int32
        ``(n,)``, the digit and the speaker.

    Raises
    ------
    DataError
        If there are no recordings, a name does not say who speaks what, or a file is damaged.
    """
    nested = folder / "recordings"
    paths = sorted((nested if nested.is_dir() else folder).glob("*.wav"))
    parts: dict[str, list[tuple[np.ndarray, int, int]]] = {"train": [], "test": []}
    for path in paths:
        digit, speaker, take = _meaning(path)
        samples, rate = audio.read_wav(path.read_bytes(), str(path))
        clip = audio.to_int16(audio.one_second(audio.resample(samples, rate)))
        parts["test" if take < _TEST_TAKES else "train"].append((clip, digit, speaker))
    read: Arrays = {}
    for part, clips in parts.items():
        if not clips:
            raise DataError(
                f"{folder} has no recordings for the {part} part (takes 0 to 4 are the test part, "
                "the others the train part). Put all recordings of the dataset there."
            )
        read[f"x_{part}"] = np.stack([clip for clip, _, _ in clips])
        read[f"y_{part}"] = np.array([digit for _, digit, _ in clips], np.int32)
        read[f"site_{part}"] = np.array([speaker for _, _, speaker in clips], np.int32)
    return read


def _meaning(path: Path) -> tuple[int, int, int]:
    """Return digit, index of the speaker, and take, from the name of a file."""
    match = _NAME.fullmatch(path.name)
    if match is None or match["speaker"] not in SPEAKERS:
        raise DataError(
            f"{path} is not called digit_speaker_take.wav with a speaker among "
            f"{', '.join(SPEAKERS)}. Rename or remove it."
        )
    return int(match["digit"]), SPEAKERS.index(match["speaker"]), int(match["take"])
