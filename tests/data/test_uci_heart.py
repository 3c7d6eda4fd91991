"""Four hospitals' patients: what is kept of them, where they go, and what a bad file gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from helpers import data
from helpers.data import catalog, partition, uci_heart
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server

FILES = [spec.name for spec in catalog.find("heart_disease").files]


def rows_of(count: int, first_age: int = 40) -> str:
    """So many patients in the format of UCI, of both labels and all levels."""
    lines = [
        f"{first_age + i},{i % 2},{1 + i % 4},{120 + i},{200 + i},0,{i % 3},150,0,1.5,?,?,7,{i % 3}"
        for i in range(count)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local copy of four hospitals with 30 invented patients each."""
    copies = tmp_path / "copies" / "heart-disease"
    copies.mkdir(parents=True)
    for site, name in enumerate(FILES):
        (copies / name).write_text(rows_of(30, first_age=20 + 10 * site))
    monkeypatch.setenv("EDGESEC_DATA", str(copies.parent))
    return copies


def test_a_row_becomes_the_thirteen_features_its_columns_say(folder: Path) -> None:
    (folder / FILES[0]).write_text("63,1,4,145,233,1,2,150,0,2.3,3,0,6,2\n" + rows_of(9))
    raw = uci_heart.decode([folder / name for name in FILES])
    both = np.concatenate([raw["x_train"], raw["x_test"]])
    labels = np.concatenate([raw["y_train"], raw["y_test"]])
    (place,) = np.flatnonzero(both[:, 0] == 63)[:1]
    expected = [63, 1, 145, 233, 1, 150, 0, 2.3, 0, 0, 1, 0, 1]
    assert both[place] == pytest.approx(expected)
    assert labels[place] == 1


def test_rows_that_lack_a_value_go_and_blanks_in_the_dropped_columns_do_not_matter(
    folder: Path,
) -> None:
    lines = rows_of(30).splitlines()
    lines[3] = lines[3].replace("150", "?")
    (folder / FILES[2]).write_text("\n".join(lines))
    ds = data.heart_disease()
    assert ds.site_train is not None
    assert ds.site_test is not None
    held = np.bincount(ds.site_train) + np.bincount(ds.site_test)
    assert held.tolist() == [30, 30, 29, 30]


def test_every_patient_is_in_one_part_and_keeps_the_hospital(folder: Path) -> None:
    ds = data.heart_disease()
    assert ds.site_names == ("Cleveland", "Hungary", "Switzerland", "Long Beach VA")
    assert ds.site_train is not None
    assert ds.site_test is not None
    for site in range(4):
        ages = np.concatenate(
            [ds.x_train[ds.site_train == site, 0], ds.x_test[ds.site_test == site, 0]]
        )
        assert np.sort(ages).tolist() == [20 + 10 * site + i for i in range(30)]
    parts = partition.by_site(ds.site_train)
    assert [set(ds.site_train[part]) for part in parts] == [{0}, {1}, {2}, {3}]
    assert "Switzerland" in ds.describe()


def test_without_a_copy_it_says_how_to_get_one_and_invents_no_patients() -> None:
    for source in ("auto", "offline"):
        with pytest.raises(DataError, match="edgesec data fetch heart_disease") as caught:
            data.heart_disease(source)
        assert "EDGESEC_DATA" in str(caught.value)


@pytest.fixture
def hosted(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that hosts thirty patients as each of the four files."""
    server = serve(rows_of(30).encode())
    files = tuple(server.spec(name) for name in FILES)
    entry = replace(catalog.find("heart_disease"), files=files, full_counts=(76, 44))
    monkeypatch.setitem(catalog.ENTRIES, "heart_disease", entry)
    return server


def test_the_files_are_fetched_once_verified_and_kept_with_their_sites(hosted: Server) -> None:
    fetched = data.heart_disease("full", progress=False)
    again = data.heart_disease()
    assert fetched.source == again.source == "downloaded"
    assert len(hosted.requests) == 4
    assert np.array_equal(fetched.x_train, again.x_train)
    assert again.site_test is not None
    assert np.bincount(again.site_test).tolist() == [11, 11, 11, 11]


def test_a_file_that_is_not_the_pinned_one_is_refused(hosted: Server) -> None:
    hosted.content = rows_of(31).encode()
    with pytest.raises(DataError, match="not the pinned file"):
        data.heart_disease("full", progress=False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no rows"),
        ("1,2,3\n", "a row of 3 columns"),
        ("<html>not found</html>", "could not convert string"),
        (rows_of(3).replace(",1,", ",9,", 1).replace("40,0,1", "40,0,9"), "column 2 must be"),
        (rows_of(1), "too few to split"),
    ],
)
def test_a_file_that_does_not_fit_is_named(folder: Path, text: str, complaint: str) -> None:
    (folder / FILES[1]).write_text(text)
    with pytest.raises(DataError, match=complaint) as caught:
        data.heart_disease()
    assert FILES[1] in str(caught.value)


def test_the_real_files_are_the_pinned_ones_and_give_flambys_table(real_copies: Path) -> None:
    import pooch

    folder = real_copies / "heart-disease"
    if not folder.is_dir():
        pytest.skip("no heart-disease folder in the EDGESEC_DATA folder")
    entry = catalog.find("heart_disease")
    for spec in entry.files:
        path = folder / spec.name
        assert path.stat().st_size == spec.size
        assert pooch.file_hash(str(path)) == spec.sha256
    ds = data.heart_disease("full")
    assert (len(ds.x_train), len(ds.x_test)) == entry.full_counts
    assert ds.site_train is not None
    assert ds.site_test is not None
    # the records per centre, train/test, that FLamby's documentation states
    assert np.bincount(ds.site_train).tolist() == [199, 172, 30, 85]
    assert np.bincount(ds.site_test).tolist() == [104, 89, 16, 45]
    # the recipe of the paper, in pandas
    tables = [pd.read_csv(folder / spec.name, header=None, na_values="?") for spec in entry.files]
    whole = pd.concat(tables).drop(columns=[10, 11, 12]).dropna()
    expected = pd.get_dummies(whole.drop(columns=13), columns=[2, 6], drop_first=True)
    ours = np.concatenate([ds.x_train, ds.x_test]).astype(np.float64)
    theirs = expected.to_numpy(np.float32).astype(np.float64)
    assert np.array_equal(np.array(sorted(ours.tolist())), np.array(sorted(theirs.tolist())))
    assert int(ds.y_train.sum() + ds.y_test.sum()) == int((whole[13] > 0).sum())
