"""``edgesec data``: a list that costs nothing, and fetching by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from helpers import data
from helpers.cli.data import command
from helpers.data import catalog
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_names_every_dataset_with_its_terms_and_sizes(cache: Path) -> None:
    shown = run("list")
    for entry in catalog.ENTRIES.values():
        assert entry.name in shown
        assert entry.licence in shown
        assert f"{entry.full_counts[0]:,} train" in shown
    assert str(cache) in shown


def test_list_shows_what_is_here_now(hosted_mnist: Server) -> None:
    assert "full dataset in the cache" not in run("list")
    data.fetch("mnist", progress=False)
    assert "full dataset in the cache" in run("list")


def test_list_imports_no_heavy_library() -> None:
    code = (
        "import sys; from helpers.cli.data import command;"
        "command(['list'], standalone_mode=False);"
        "heavy = {'sklearn', 'mlxtend', 'tensorflow', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fetch_says_where_the_data_is(hosted_mnist: Server, cache: Path) -> None:
    assert f"mnist is in {cache / 'mnist.npz'}" in run("fetch", "mnist", "--via", "download")


def test_fetch_says_when_there_is_nothing_to_fetch() -> None:
    assert "digits needs no fetching" in run("fetch", "digits")


def test_fetch_of_an_unknown_name_is_a_data_error() -> None:
    with pytest.raises(DataError, match="Did you mean 'cifar10'"):
        CliRunner().invoke(command, ["fetch", "cifar-10"], catch_exceptions=False)


def test_the_sizes_listed_for_packaged_data_are_those_that_load() -> None:
    for name in ("digits", "lfw_faces", "breast_cancer"):
        ds = data.load(name)
        assert (len(ds.x_train), len(ds.x_test)) == catalog.find(name).full_counts
