"""Streets photographed from drones and aeroplanes, with the boxes of the vehicles.

The photographs of a place, taken seconds apart, resemble each other so much that a random split
would test memory. So they are split by place: every photograph of the test places is in the test
part. Each is cut into square tiles of the size that a detector takes; the tiles of one row overlap
by a quarter at most.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.data import catalog, folders
from helpers.data.annotated import Annotated, DetectionDataset
from helpers.errors import DataError

# The files' classes are car, truck, bus, minibus, cyclist; cyclists are left out.
_LABELS = {0: 0, 1: 1, 2: 1, 3: 1, 4: None}
# By the start of the file's name, the first that fits. The flights over the square share one place.
PLACES = (
    ("MunichStreet02-MOS", "Munich, street"),
    ("DJI_0762", "Minsk, crossing"),
    ("MOS1", "Munich, avenue"),
    ("MOS", "Munich, crossing"),
    ("DJI", "Minsk, station square"),
)
_TEST_PLACES = ("Munich, street", "Minsk, crossing")
PLACE_NAMES = tuple(name for _, name in PLACES)
_CUT_BELOW = 0.4  # share of a box within the tile
_MAX_PIXELS = 50_000_000


def aerial_cars(
    side: int = 96, width: int | None = 960, progress: bool = False
) -> DetectionDataset:
    """Return tiles of real aerial photographs from the ``EDGESEC_DATA`` folder.

    Parameters
    ----------
    side : int
        Height and width of a tile in pixels, at least 32.
    width : int or None
        The longest side to which a photograph is brought before it is cut, which decides how large
        a car is; None leaves it. At 960 a car is about 30 pixels long.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DetectionDataset
        Tiles with at least one vehicle, split by place. Classes *car* and *large vehicle* (truck,
        bus, minibus).

    Raises
    ------
    DataError
        If there is no local copy, a file is damaged, or a name says no place that we know.
    """
    if side < 32 or (width is not None and width < side):
        raise DataError(f"side={side} must be at least 32 and width={width} at least the side.")
    entry = catalog.find("aerial_cars")
    local = folders.local_folder()
    folder = None if local is None else local / entry.folder
    if folder is None or not folder.is_dir():
        raise DataError(
            f"There is no local copy of aerial_cars: put its photographs and boxes into a folder "
            f"{entry.folder}/ and name the folder above it in {folders.LOCAL_VARIABLE}. They are "
            f"published at {entry.citation.split()[-1].rstrip('.')}. Without them, "
            "helpers.data.aerial_scenes() draws streets."
        )
    parts: dict[bool, list[tuple[object, ...]]] = {False: [], True: []}
    paths = sorted(folder.glob("*.jpg"))
    for path in tqdm(paths, desc="read photographs", disable=not progress):
        place = place_of(path)
        tiles = _tiles(*_read(path, width), side)
        parts[PLACE_NAMES[place] in _TEST_PLACES] += [(*tile, place) for tile in tiles]
    for is_test, tiles in parts.items():
        if not tiles:
            raise DataError(f"{folder} has no {'test' if is_test else 'training'} place with cars.")
    return DetectionDataset(
        name=entry.name,
        train=_part(parts[False]),
        test=_part(parts[True]),
        class_names=entry.class_names,
        scene_names=PLACE_NAMES,
        source="local",
        origin=(
            f"{len(paths)} photographs in {entry.folder} of the {folders.LOCAL_VARIABLE} folder, "
            f"cut into tiles; tested on {' and '.join(_TEST_PLACES)}"
        ),
        licence=entry.licence,
        citation=entry.citation,
    )


def place_of(path: Path) -> int:
    """Return the place of a photograph, an index into `PLACE_NAMES`, from its file's name.

    Raises
    ------
    DataError
        If the name starts as no place that we know.
    """
    for index, (start, _) in enumerate(PLACES):
        if re.match(re.escape(start), path.name):
            return index
    raise DataError(f"{path} starts as no place that is known: {', '.join(s for s, _ in PLACES)}.")


def read_yolo(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read boxes in YOLO's format.

    Parameters
    ----------
    path : pathlib.Path
        A line a box: class, then x and y of its middle, width and height as shares of the picture.

    Returns
    -------
    boxes : numpy.ndarray
        float64 ``(k, 4)``: x1, y1, x2, y2 as shares, cut to [0, 1].
    labels : numpy.ndarray
        int64 ``(k,)``.

    Raises
    ------
    DataError
        If the file is missing, or a line is not five such numbers.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = np.array([[float(n) for n in line.split()] for line in lines if line.strip()])
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no list of YOLO boxes ({error}); replace it.") from error
    rows = rows.reshape(-1, 5) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] != 5 or not np.isfinite(rows).all() or rows.min() < 0:
        raise DataError(f"{path}: each line must be a class and four shares, none negative.")
    middle, half = rows[:, 1:3], rows[:, 3:5] / 2
    boxes = np.clip(np.concatenate([middle - half, middle + half], axis=1), 0.0, 1.0)
    return boxes, rows[:, 0].astype(np.int64)


def _read(
    path: Path, width: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Return one photograph, float32, and its vehicles in pixels."""
    from PIL import Image

    shares, kinds = read_yolo(path.with_suffix(".txt"))
    unknown = sorted(set(kinds.tolist()) - _LABELS.keys())
    if unknown:
        raise DataError(f"{path.with_suffix('.txt')}: class {unknown[0]} is none of 0 to 4.")
    try:
        with Image.open(path) as file:
            if file.width * file.height > _MAX_PIXELS:
                raise DataError(f"{path} has more than {_MAX_PIXELS:,} pixels; make it smaller.")
            picture = file.convert("RGB")
            if width is not None and max(picture.size) != width:
                factor = width / max(picture.size)
                size = (round(picture.width * factor), round(picture.height * factor))
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            pixels = np.asarray(picture, np.float32) / 255
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} is no picture that can be read ({error}); replace it.") from error
    height, wide = pixels.shape[:2]
    kept = np.array([_LABELS[int(kind)] is not None for kind in kinds], bool)
    labels = np.array([_LABELS[int(kind)] for kind in kinds[kept]], np.int64)
    return pixels, shares[kept] * [wide, height, wide, height], labels


def _tiles(
    pixels: NDArray[np.float32],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    side: int,
) -> list[tuple[object, ...]]:
    """Cut a photograph into tiles that cover it, and keep those that show a whole vehicle."""
    if min(pixels.shape[:2]) < side:
        return []
    tiles: list[tuple[object, ...]] = []
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for top in _starts(pixels.shape[0], side):
        for left in _starts(pixels.shape[1], side):
            inside = np.clip(boxes - [left, top, left, top], 0, side)
            shown = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
            held = (inside[:, 2:] - inside[:, :2] >= 1.0).all(axis=1)
            cut = shown[held] < _CUT_BELOW * area[held]
            if (~cut).any():
                tile = pixels[top : top + side, left : left + side]
                known = labels[held].astype(np.int32)
                tiles.append((tile, inside[held].astype(np.float32), known, cut))
    return tiles


def _starts(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def _part(tiles: list[tuple[object, ...]]) -> Annotated:
    images, boxes, labels, cut, places = zip(*tiles, strict=True)
    return Annotated(np.stack(images), boxes, labels, cut, np.array(places, np.int32))
