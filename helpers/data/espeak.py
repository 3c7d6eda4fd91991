"""Speech from espeak-ng, called as a C library that the package ``espeakng-loader`` carries.

espeak-ng keeps its state in the process: one voice, one callback, and an oscillator whose phase
outlives an utterance. So what it says depends on what it said before, and only a fresh process
that speaks the same utterances in the same order repeats them sample by sample. That is why
:mod:`helpers.data.speech_worker` gives every shard of clips a process of its own.

espeak-ng is under the GPL, version 3 or later; nothing else here needs it, and it is loaded only
when speech is synthesised.
"""

from __future__ import annotations

import ctypes
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import DataError

# Great Britain is "en": the name "en-gb" with a variant is refused by espeak-ng 1.52.
ACCENTS = (
    "en",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-gb-x-rp",
    "en-us",
    "en-us-nyc",
)

_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _PITCH, _INTONATION = 1, 3, 4  # espeak_PARAMETER in speak_lib.h
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def variants() -> tuple[str, ...]:
    """Return the names of espeak-ng's variants: timbres that any accent can be spoken in.

    Raises
    ------
    DataError
        If the package ``espeakng-loader`` is missing or carries no variants.
    """
    folder = Path(_loader().get_data_path()) / "voices" / "!v"
    names = tuple(sorted(path.name for path in folder.glob("*")))
    if not names:
        raise DataError(f"{folder} holds no voices: reinstall the package espeakng-loader.")
    return names


def package_version() -> str:
    """Return the version of the package that carries espeak-ng.

    Raises
    ------
    DataError
        If the package is not installed.
    """
    _loader()
    return version("espeakng-loader")


class Speaker:
    """espeak-ng in this process; make one, once.

    Raises
    ------
    DataError
        If the library is missing or does not start.
    """

    def __init__(self) -> None:
        loader = _loader()
        self._pieces: list[np.ndarray] = []
        self._callback = _CALLBACK(self._receive)  # held: C keeps only its address
        try:
            self._library = ctypes.CDLL(loader.get_library_path())
        except OSError as error:
            raise DataError(f"espeak-ng does not load ({error}).{_HOW_TO_INSTALL}") from error
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._c_library = ctypes.CDLL(None)
        data_path = loader.get_data_path().encode()
        self.sample_rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data_path, 0))
        if self.sample_rate <= 0:
            raise DataError(f"espeak-ng does not start with its data in {data_path.decode()}.")
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, voice: str, rate: int, pitch: int, intonation: int, seed: int
    ) -> np.ndarray:
        """Speak `text`.

        Parameters
        ----------
        text : str
            What to say.
        voice : str
            ``accent+variant``, such as ``en-us+f3``.
        rate : int
            Words a minute.
        pitch, intonation : int
            From 0 to 100: the height of the voice, and how far it rises and falls.
        seed : int
            Of its breath and jitter. The same sound needs the same utterances before it, too.

        Returns
        -------
        numpy.ndarray
            int16 ``(n,)`` at `sample_rate`.

        Raises
        ------
        DataError
            If the voice is unknown or what comes back is silence.
        """
        self._library.espeak_ng_SetRandSeed(seed)
        self._c_library.srand(seed & 0xFFFFFFFF)  # some voices draw from the C library instead
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise DataError(f"espeak-ng has no voice {voice!r}; it must be accent+variant.")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_INTONATION, intonation)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None)
        sound = np.concatenate([*self._pieces, np.zeros(0, np.int16)])
        if not sound.any():
            raise DataError(f"espeak-ng returned silence for {text!r} in the voice {voice!r}.")
        return sound

    def _receive(self, samples: Any, count: int, _events: Any) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


_HOW_TO_INSTALL = (
    " Synthetic speech needs the package espeakng-loader, which carries espeak-ng (GPL-3 or "
    "later). Install it with: pip install --no-deps espeakng-loader==0.2.4"
)


def _loader() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise DataError(
            f"The package espeakng-loader is not installed.{_HOW_TO_INSTALL}"
        ) from error
    return espeakng_loader
