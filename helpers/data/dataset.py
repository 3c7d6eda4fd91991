"""A dataset that knows where it came from: arrays, classes, licence, citation."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from helpers.errors import DataError

Origin = Literal["packaged", "synthetic", "local", "downloaded"]

SOURCE_MEANS = {
    "packaged": "real data carried by an installed package",
    "synthetic": "generated from a seed, NOT the real dataset",
    "local": "real data from a local copy",
    "downloaded": "the published dataset, fetched and verified",
}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One train/test split with its provenance; checked when it is made.

    Parameters
    ----------
    name : str
        The name :func:`helpers.data.load` knows it by.
    x_train, x_test : numpy.ndarray
        float32. Images ``(n, height, width, channels)`` with values in [0, 1], tables
        ``(n, features)`` in the units of the source, or sounds ``(n, samples)`` in [-1, 1].
    y_train, y_test : numpy.ndarray
        int32 ``(n,)``, values in ``0 .. len(class_names) - 1``.
    class_names : tuple of str
        What each label stands for.
    feature_names : tuple of str
        One name a column of a table; empty for images.
    source : {"packaged", "synthetic", "local", "downloaded"}
        The kind of copy this is.
    origin : str
        Where exactly these arrays came from, in words.
    licence, citation : str
        The terms of the data, and whom to cite.
    site_names : tuple of str
        The places the rows come from, such as hospitals; empty when they are not known.
    site_train, site_test : numpy.ndarray or None
        int32 ``(n,)``, the place of each row as an index into `site_names`; None without sites.
        :func:`helpers.data.partition.by_site` turns ``site_train`` into a partition.
    x_validation, y_validation : numpy.ndarray or None
        A third part, where the source publishes one: as the other two, for choosing settings.
    sample_rate : int
        Samples a second of sounds; 0 for images and tables.

    Raises
    ------
    DataError
        If shapes, dtypes, labels or values do not fit together.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: Origin
    origin: str
    licence: str
    citation: str
    feature_names: tuple[str, ...] = ()
    site_names: tuple[str, ...] = ()
    site_train: np.ndarray | None = None
    site_test: np.ndarray | None = None
    x_validation: np.ndarray | None = None
    y_validation: np.ndarray | None = None
    sample_rate: int = 0

    def __post_init__(self) -> None:
        if self.source not in get_args(Origin):
            raise DataError(f"{self.name}: source {self.source!r} is none of {get_args(Origin)}.")
        for part, x, y in self._parts():
            self._check_examples(part, x)
            self._check_labels(part, y, len(x))
            if x.shape[1:] != self.x_train.shape[1:]:
                raise DataError(
                    f"{self.name}: train examples are {self.x_train.shape[1:]} but {part} examples "
                    f"are {x.shape[1:]}; all must have one shape."
                )
        self._check_sites("train", self.site_train, len(self.x_train))
        self._check_sites("test", self.site_test, len(self.x_test))
        if self.is_table and len(self.feature_names) != self.x_train.shape[1]:
            raise DataError(
                f"{self.name}: {self.x_train.shape[1]} columns but "
                f"{len(self.feature_names)} feature names; give one name a column."
            )

    def _parts(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name every part with its examples and labels."""
        parts = [("train", self.x_train, self.y_train), ("test", self.x_test, self.y_test)]
        if (self.x_validation is None) != (self.y_validation is None):
            raise DataError(f"{self.name}: give both x_validation and y_validation, or neither.")
        if self.x_validation is not None and self.y_validation is not None:
            parts.append(("validation", self.x_validation, self.y_validation))
        return parts

    def _check_examples(self, part: str, x: np.ndarray) -> None:
        where = f"{self.name}: x_{part}"
        if x.dtype != np.float32 or x.ndim not in (2, 4) or x.size == 0:
            raise DataError(
                f"{where} is {x.dtype} {x.shape}; it must be non-empty float32, "
                "(n, height, width, channels), (n, features) or (n, samples)."
            )
        low, high = float(x.min()), float(x.max())
        if not np.isfinite([low, high]).all():
            raise DataError(f"{where} holds NaN or infinity; remove or impute those values.")
        if x.ndim == 4 and (low < 0.0 or high > 1.0):
            raise DataError(f"{where} spans [{low:g}, {high:g}]; scale images to [0, 1].")
        if self.is_audio and (x.ndim != 2 or max(-low, high) > 1.0):
            raise DataError(
                f"{where} is {x.shape} and spans [{low:g}, {high:g}]; sounds must be (n, samples) "
                "in [-1, 1]."
            )

    def _check_labels(self, part: str, y: np.ndarray, num_examples: int) -> None:
        where = f"{self.name}: y_{part}"
        if y.dtype != np.int32 or y.shape != (num_examples,):
            raise DataError(
                f"{where} is {y.dtype} {y.shape}; it must be int32 ({num_examples},), "
                "one label an example."
            )
        if y.min() < 0 or y.max() >= self.num_classes:
            raise DataError(
                f"{where} spans {y.min()}..{y.max()}, but {self.num_classes} class names allow "
                f"0..{self.num_classes - 1}."
            )

    def _check_sites(self, part: str, site: np.ndarray | None, num_examples: int) -> None:
        where = f"{self.name}: site_{part}"
        if not self.site_names:
            if site is not None:
                raise DataError(f"{where} is given without site_names; name the sites.")
            return
        if site is None or site.dtype != np.int32 or site.shape != (num_examples,):
            found = "missing" if site is None else f"{site.dtype} {site.shape}"
            raise DataError(f"{where} is {found}; it must be int32 ({num_examples},).")
        if site.min() < 0 or site.max() >= len(self.site_names):
            raise DataError(
                f"{where} spans {site.min()}..{site.max()}, but {len(self.site_names)} site names "
                f"allow 0..{len(self.site_names) - 1}."
            )

    @property
    def num_classes(self) -> int:
        """How many classes the labels can name."""
        return len(self.class_names)

    @property
    def is_image(self) -> bool:
        """Whether the examples are images."""
        return self.x_train.ndim == 4

    @property
    def is_audio(self) -> bool:
        """Whether the examples are sounds."""
        return self.sample_rate > 0

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of a table."""
        return not (self.is_image or self.is_audio)

    def describe(self) -> str:
        """Return plain text: what this is, how much, from where, under which terms."""
        return "\n".join(f"{label + ':':<9} {text}" for label, text in self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        if self.is_audio:
            seconds = self.x_train.shape[1] / self.sample_rate
            kind, shape = "clips", f"{seconds:g} s at {self.sample_rate:,} Hz"
        else:
            kind = "images" if self.is_image else "rows"
            shape = " x ".join(str(side) for side in self.x_train.shape[1:])
        spare = "" if self.x_validation is None else f"{len(self.x_validation):,} validation + "
        sites = [("Sites", ", ".join(self.site_names))] if self.site_names else []
        return [
            ("Dataset", f"{self.name} ({self.source}: {SOURCE_MEANS[self.source]})"),
            ("Origin", self.origin),
            (
                "Size",
                f"{len(self.x_train):,} train + {spare}{len(self.x_test):,} test {kind} of "
                f"{shape}, "
                f"{self.num_classes} classes: {', '.join(self.class_names)}",
            ),
            *sites,
            ("Licence", self.licence),
            ("Cite", self.citation),
        ]

    def __repr__(self) -> str:
        return (
            f"<Dataset {self.name!r}: {self.source}, {len(self.x_train):,} train + "
            f"{len(self.x_test):,} test>"
        )

    def _repr_html_(self) -> str:
        return facts_table(self._facts())


def facts_table(facts: Sequence[tuple[str, str]]) -> str:
    """Return labels and texts as an HTML table; the texts are escaped."""
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left'>{html.escape(label)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for label, text in facts
    )
    return f"<table><tbody>{rows}</tbody></table>"
