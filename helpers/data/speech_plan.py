"""Who says what: the list of clips of a synthetic speech dataset, drawn from a seed.

A voice is an accent and a variant, the variant being the timbre. Variants are divided over the
parts first, those that differ only in a trailing number staying together; so a voice of the test
part has a timbre that training never heard. Accents occur in all parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.data import espeak
from helpers.errors import DataError

PARTS = ("train", "validation", "test")
SILENCE, UNKNOWN = "silence", "unknown"

_SHARES = (0.7, 0.1, 0.2)  # of the families of variants
_RATES = (115, 210)  # words a minute
_PITCHES = (15, 85)  # of 0..100
_INTONATIONS = (20, 80)
_WORD = re.compile(r"[a-z]{1,20}")


@dataclass(frozen=True)
class Recipe:
    """What to synthesise.

    Parameters
    ----------
    words : tuple of str
        The words to spot, a class each.
    others : tuple of str
        Words spoken for one more class, ``unknown``; empty for none, and for no ``silence``.
    clips : tuple of int
        Clips of every class in the train, validation and test part.
    seed : int
        Fixes voices, rates, noise and rooms.

    Raises
    ------
    DataError
        If a word cannot be spoken or is there twice, or a number is out of range.
    """

    words: tuple[str, ...]
    others: tuple[str, ...] = ()
    clips: tuple[int, int, int] = (800, 60, 140)
    seed: int = 0

    def __post_init__(self) -> None:
        for word in (*self.words, *self.others):
            if not _WORD.fullmatch(word):
                raise DataError(f"{word!r} must be one word of at most 20 letters a to z.")
        if len({*self.words, *self.others}) < len(self.words) + len(self.others):
            raise DataError("The words to speak must all be different.")
        if len(self.words) < 2 or min(self.clips) < 1 or self.seed < 0:
            raise DataError(
                f"{len(self.words)} words, clips={self.clips} and seed={self.seed}: give at least "
                "two words, one clip a part, and a seed that is not negative."
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The words, then ``silence`` and ``unknown`` where there are other words."""
        return (*self.words, SILENCE, UNKNOWN) if self.others else self.words


@dataclass(frozen=True)
class Clip:
    """One second to be made: a word in a voice, or with an empty `word` background alone."""

    label: int
    word: str
    voice: str
    rate: int
    pitch: int
    intonation: int
    seed: int


def plan(recipe: Recipe) -> dict[str, list[Clip]]:
    """Draw the clips of every part, shuffled, as many of each class as `recipe` says.

    Raises
    ------
    DataError
        If espeak-ng is missing or has too few voices.
    """
    rng = np.random.default_rng(recipe.seed)
    voices = split_voices(espeak.variants(), rng)
    return {
        part: _draw_part(recipe, count, voices[part], rng)
        for part, count in zip(PARTS, recipe.clips, strict=True)
    }


def split_voices(variants: Sequence[str], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Divide variants over the parts, families whole, and speak each in every accent.

    Parameters
    ----------
    variants : sequence of str
        Names of timbres; ``mike`` and ``mike2`` are one family.
    rng : numpy.random.Generator
        Decides which family goes where.

    Returns
    -------
    dict of str to tuple of str
        The voices of each part, as ``accent+variant``.

    Raises
    ------
    DataError
        If there are too few families for a share of each part.
    """
    families: dict[str, list[str]] = {}
    for name in variants:
        families.setdefault(name.lower().rstrip("0123456789"), []).append(name)
    order = rng.permutation(sorted(families))
    ends = np.rint(np.cumsum(_SHARES) * len(order)).astype(int)
    chosen = dict(zip(PARTS, np.split(order, ends[:-1]), strict=True))
    if any(len(names) == 0 for names in chosen.values()):
        raise DataError(f"{len(order)} families of voices are too few for three parts.")
    return {
        part: tuple(
            f"{accent}+{name}"
            for family in names
            for name in families[family]
            for accent in espeak.ACCENTS
        )
        for part, names in chosen.items()
    }


def _draw_part(
    recipe: Recipe, count: int, voices: Sequence[str], rng: np.random.Generator
) -> list[Clip]:
    labels = rng.permutation(np.repeat(np.arange(len(recipe.class_names)), count))
    return [_draw_clip(recipe, int(label), voices, rng) for label in labels]


def _draw_clip(recipe: Recipe, label: int, voices: Sequence[str], rng: np.random.Generator) -> Clip:
    name = recipe.class_names[label]
    words = {SILENCE: ("",), UNKNOWN: recipe.others} if recipe.others else {}
    return Clip(
        label=label,
        word=str(rng.choice(words.get(name, (name,)))),
        voice=voices[int(rng.integers(len(voices)))],
        rate=int(rng.integers(*_RATES)),
        pitch=int(rng.integers(*_PITCHES)),
        intonation=int(rng.integers(*_INTONATIONS)),
        seed=int(rng.integers(2**31)),
    )
