"""What every scheme of this room can do: put a mark into a model, and look for it in another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from helpers.errors import WatermarkError
from helpers.watermark.key import Key
from helpers.watermark.suspect import Suspect

if TYPE_CHECKING:
    import tensorflow as tf

Access = Literal["weights", "queries"]


@dataclass(frozen=True)
class Reading:
    """How much of a mark a suspect shows.

    Attributes
    ----------
    found
        Bits or answers that are as the key says.
    looked_for
        Bits or answers that the key names, at least 1.

    Raises
    ------
    WatermarkError
        If nothing was looked for, or more found than that.
    """

    found: int
    looked_for: int

    def __post_init__(self) -> None:
        if not 0 <= self.found <= self.looked_for or self.looked_for < 1:
            raise WatermarkError(f"{self.found} found of {self.looked_for}: not a reading.")

    @property
    def share(self) -> float:
        """Share found, in [0, 1]; 1 minus the bit error of a message."""
        return self.found / self.looked_for


class Scheme(ABC):
    """A way to mark a model. An instance holds the settings; the secret is always passed in.

    Attributes
    ----------
    name
        For tables.
    access
        What reading the mark takes: ``"weights"``, or ``"queries"`` that show labels only.
    shows
        What a mark that is found shows, as a clause for a verdict.
    chance
        Largest probability with which one bit or answer of a *freshly drawn* key is found in a
        model that does not depend on that key, whatever the model, independently of the other
        bits. None where no such number exists and only other models can tell.
    """

    name: ClassVar[str]
    access: ClassVar[Access]
    shows: ClassVar[str] = "the suspect was made from the marked model"

    @property
    @abstractmethod
    def chance(self) -> float | None:
        """The attribute ``chance``."""

    @abstractmethod
    def embed(
        self,
        model: tf.keras.Model,
        x: np.ndarray,
        y: np.ndarray,
        key: Key,
        seed: int = 0,
        progress: bool = False,
    ) -> tf.keras.Model:
        """Return a marked copy of a model; the model itself stays as it is.

        Parameters
        ----------
        model
            Trained Keras model that gives logits.
        x, y
            Training data, float32 ``(n, ...)`` and integers ``(n,)``, so that the model keeps what
            it knows.
        key
            The owner's secret.
        seed
            Of the order of the examples.
        progress
            Whether to show a progress bar.

        Raises
        ------
        WatermarkError
            If the mark does not fit the model, or the labels do not fit the mark's classes.
        """

    @abstractmethod
    def read(self, suspect: Suspect, key: Key) -> Reading:
        """Look for the key's mark in a suspect.

        Raises
        ------
        WatermarkError
            If the scheme reads weights and the suspect shows none, or none of the right shape.
        """

    def evidence(self, suspect: Suspect, key: Key) -> float:
        """Return the share of the key's mark that a suspect shows, in [0, 1]."""
        return self.read(suspect, key).share
