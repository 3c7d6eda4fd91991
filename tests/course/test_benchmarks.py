"""The recorded benchmarks, as the book's page reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.course.benchmarks import comparisons, recorded
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]


def test_every_ratio_lies_in_its_range_and_belongs_to_a_benchmark() -> None:
    found = comparisons(ROOT)
    assert {line.benchmark for line in found} <= {run.name for run in recorded(ROOT)}
    for line in found:
        assert 0 < line.low <= line.ratio <= line.high, line
        assert line.unit in {"CPU time", "wall time", "memory"}
    assert len({(line.benchmark, line.work, line.peer, line.unit) for line in found}) == len(found)


def test_a_ratio_is_the_peers_cost_over_ours() -> None:
    """One of each kind, computed again from the record by hand."""
    pgd = json.loads((ROOT / "benchmarks" / "results" / "pgd.json").read_text())
    seconds = pgd["models"]["small_cnn"]["cpu_seconds"]
    by_hand = seconds["Foolbox"]["median"] / seconds["ours"]["median"]
    [line] = [
        line
        for line in comparisons(ROOT)
        if (line.benchmark, line.peer) == ("pgd", "Foolbox") and line.work.endswith("small_cnn")
    ]
    assert line.ratio == pytest.approx(by_hand, rel=0.1)  # a median of ratios, a ratio of medians
    step = json.loads((ROOT / "benchmarks" / "results" / "dp_sgd_step.json").read_text())
    seconds = step["models"]["cnn"]["seconds"]
    [line] = [
        line
        for line in comparisons(ROOT)
        if line.work == "one private step, cnn" and line.peer.endswith("vectorized")
    ]
    assert line.ratio == seconds["tfp_vectorized"]["median"] / seconds["ghost"]["median"]


def test_every_benchmark_has_a_record_that_says_when_where_and_how() -> None:
    for run in recorded(ROOT):
        assert run.command.startswith(f"python benchmarks/{run.name}.py"), run
        assert run.date.startswith("20"), run
        assert "cores" in run.machine


def test_a_record_of_another_form_is_named(tmp_path: Path) -> None:
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "dp_sgd_step.json").write_text('{"models": {"mlp": {}}}')
    with pytest.raises(CourseError, match=r"run: python benchmarks/dp_sgd_step\.py"):
        comparisons(tmp_path)
    (results / "dp_sgd_step.json").write_text("{")
    with pytest.raises(CourseError, match="cannot be read"):
        comparisons(tmp_path)
