"""Drawn streets, and tiles of real aerial photographs split by place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import data
from helpers.data import aerial_drawn, annotated
from helpers.errors import DataError


def test_a_seed_draws_the_same_streets_however_many() -> None:
    few, more = data.aerial_scenes(3, 2, side=48), data.aerial_scenes(5, 2, side=48)
    np.testing.assert_array_equal(few.train.images, more.train.images[:3])
    np.testing.assert_array_equal(few.test.images, more.test.images)
    assert not np.array_equal(few.train.images[:2], few.test.images)
    other = data.aerial_scenes(3, 2, side=48, seed=1)
    assert not np.array_equal(few.train.images, other.train.images)


def test_boxes_hold_vehicles_tightly() -> None:
    """A vehicle differs from the same street without it, inside its box and nowhere near it."""
    for seed in range(6):
        canvas = aerial_drawn._Canvas(96, 24.0, np.random.default_rng(seed))
        canvas.pixels[:] = 0.5
        rng = np.random.default_rng(100 + seed)
        vehicle = aerial_drawn._Vehicle(12.0, 12.0, 4.5, 1.8, rng.uniform(0, np.pi), seed % 2)
        aerial_drawn._vehicle(canvas, vehicle, np.zeros(2))
        boxes, labels, cut = aerial_drawn._annotate([vehicle], 96, 24.0)
        rows, columns = np.nonzero(np.abs(canvas.pixels - 0.5).max(axis=2) > 0.02)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert labels.tolist() == [seed % 2]
        assert not cut.any()
        assert (boxes[0, :2] - 1 <= seen[:2]).all()
        assert (seen[2:] <= boxes[0, 2:] + 1).all()
        assert np.abs(seen - boxes[0]).max() < 3.5  # round corners leave the box's corners empty


def test_vehicles_do_not_stand_on_each_other() -> None:
    """No point of a grid on one vehicle lies within another."""
    rng = np.random.default_rng(0)
    roads = [np.array([15.0, 15.0, 0.3, 9.6])]
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 9)] * 2), axis=-1).reshape(-1, 2)
    pairs = 0
    for _ in range(20):
        vehicles = aerial_drawn._park(roads, 30.0, rng)
        for one in vehicles:
            c, s = np.cos(one.heading), np.sin(one.heading)
            along, aside = (grid * [one.length, one.width]).T
            x, y = one.x + c * along - s * aside, one.y + s * along + c * aside
            for other in vehicles:
                c2, s2 = np.cos(other.heading), np.sin(other.heading)
                u = c2 * (x - other.x) + s2 * (y - other.y)
                v = c2 * (y - other.y) - s2 * (x - other.x)
                inside = (abs(u) <= other.length / 2) & (abs(v) <= other.width / 2)
                assert other is one or not inside.any()
                pairs += other is not one
    assert pairs > 50


def test_what_the_edge_cuts_off_is_marked() -> None:
    corner = aerial_drawn._Vehicle(0.2, 0.1, 4.5, 1.8, 0.0, 0)
    edge = aerial_drawn._Vehicle(12.0, 0.1, 4.5, 1.8, 0.0, 0)
    boxes, _, cut = aerial_drawn._annotate([corner, edge], 96, 24.0)
    assert cut.tolist() == [True, False]
    np.testing.assert_allclose(boxes[0], [0, 0, 9.8, 4.0], atol=0.01)


def test_drawn_streets_describe_themselves() -> None:
    scenes = data.aerial_scenes(12, 1, side=32)
    assert scenes.train.num_objects == sum(map(len, scenes.train.boxes))
    assert set(np.concatenate(scenes.train.labels)) == {0, 1}
    assert "synthetic" in scenes.describe()
    assert "1 test images" in scenes._repr_html_()
    assert len(scenes.train.take(slice(0, 5))) == 5


def published(folder: Path, names: list[str], size: tuple[int, int] = (200, 120)) -> None:
    """Photographs with one car and one cyclist each, in the format of the dataset."""
    inside = folder / "aerial-cars"
    inside.mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 30, (size[1], size[0], 3), dtype=np.uint8)
        pixels[36:60, 40:60] = 250  # the car
        Image.fromarray(pixels).save(inside / f"{name}.jpg", quality=95)
        lines = ["0 0.25 0.4 0.1 0.2", "4 0.75 0.5 0.02 0.02"]
        (inside / f"{name}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    monkeypatch.setenv("EDGESEC_DATA", str(folder))
    return folder


def test_no_place_is_in_both_parts(local: Path) -> None:
    published(local, ["MunichStreet02-MOS74", "MOS74", "MOS155", "DJI_0762-00001", "DJI_0005-1"])
    cars = data.aerial_cars(side=64, width=200)
    names = [cars.scene_names[i] for i in sorted(set(cars.test.scenes))]
    assert names == ["Munich, street", "Minsk, crossing"]
    assert set(cars.train.scenes.tolist()).isdisjoint(cars.test.scenes.tolist())
    assert cars.source == "local"
    with pytest.raises(DataError, match="memory"):
        annotated.DetectionDataset(
            "x", cars.train, cars.train, cars.class_names, cars.scene_names,
            "local", "", "", "",
        )  # fmt: skip


def test_tiles_keep_boxes_where_they_are(local: Path) -> None:
    """The bright car of each tile is where its box says; the cyclist is in none."""
    published(local, ["MOS74", "DJI_0762-00001"])
    cars = data.aerial_cars(side=64, width=200).train
    assert len(cars) == 2  # the tiles from the left overlap where the car stands
    for image, boxes, labels in zip(cars.images, cars.boxes, cars.labels, strict=True):
        assert labels.tolist() == [0]
        rows, columns = np.nonzero(image.mean(axis=2) > 0.5)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(boxes[0], seen, atol=1.0)


def test_a_damaged_copy_is_named(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="EDGESEC_DATA"):
        data.aerial_cars()
    published(local, ["MOS74", "DJI_0762-00001"])
    broken = local / "aerial-cars" / "MOS74.txt"
    for text, reason in (
        ("0 0.5 0.5 0.1\n", "five|four"),
        ("7 0.5 0.5 0.1 0.1\n", "class 7"),
        ("car 1 1 1 1\n", "YOLO"),
        ("0 nan 0.5 0.1 0.1\n", "four shares"),
    ):
        broken.write_text(text)
        with pytest.raises(DataError, match=reason):
            data.aerial_cars(side=64, width=200)
    broken.write_text("0 0.5 0.5 0.1 0.2\n")
    (local / "aerial-cars" / "MOS74.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture"):
        data.aerial_cars(side=64, width=200)
    (local / "aerial-cars" / "MOS74.jpg").rename(local / "aerial-cars" / "elsewhere.jpg")
    with pytest.raises(DataError, match="starts as no place"):
        data.aerial_cars(side=64, width=200)


def test_boxed_data_has_a_loader_of_its_own() -> None:
    with pytest.raises(DataError, match=r"helpers\.data\.aerial_cars\(\)"):
        data.load("aerial_cars")
    with pytest.raises(DataError, match="at least 32"):
        data.aerial_scenes(1, 1, side=8)
    with pytest.raises(DataError, match="num_train=0"):
        data.aerial_scenes(0, 1)


def test_the_real_photographs(real_copies: Path) -> None:
    if not (real_copies / "aerial-cars").is_dir():
        pytest.skip("the folder of full datasets holds no aerial-cars")
    cars = data.aerial_cars()
    assert len(set(cars.train.scenes.tolist())) == 3
    assert cars.train.num_objects > 2000
    assert cars.test.num_objects > 500
