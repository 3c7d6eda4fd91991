"""What the recorded benchmarks say, in one form: how many times a peer's cost is ours.

Each ``benchmarks/*.py`` writes one file into ``benchmarks/results``, in the form that suits what it
measures. The book's page of benchmarks reads them through here, so it repeats no number.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.errors import CourseError


@dataclass(frozen=True)
class Comparison:
    """One peer beside ours on the same work, in one run.

    Attributes
    ----------
    benchmark
        Name of the script, without suffix.
    work
        What both did.
    peer
        With whom ours is compared.
    unit
        What was counted, ``"CPU time"``, ``"wall time"`` or ``"memory"``.
    ratio, low, high
        The peer's cost over ours: of the medians, and of the least favourable and the most
        favourable repetition. Above 1 ours is cheaper.
    difference
        Largest difference between the two results; None where that was not recorded.
    """

    benchmark: str
    work: str
    peer: str
    unit: str
    ratio: float
    low: float
    high: float
    difference: float | None = None


@dataclass(frozen=True)
class Recorded:
    """A benchmark and how its results came about.

    Attributes
    ----------
    name, title
        Of the script, and the first line of its docstring.
    command, date, machine
        What repeats it, on which day (the last one) and on what it ran; empty if nothing is
        recorded yet.
    """

    name: str
    title: str
    command: str = ""
    date: str = ""
    machine: str = ""


def recorded(root: Path) -> list[Recorded]:
    """Return all benchmarks of the repository in the order of their names.

    Raises
    ------
    CourseError
        If a results file cannot be read.
    """
    found = []
    for script in sorted((root / "benchmarks").glob("*.py")):
        text = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or script.stem
        title = text.partition("\n")[0].rstrip(".")
        result = root / "benchmarks" / "results" / f"{script.stem}.json"
        if not result.exists():
            found.append(Recorded(script.stem, title))
            continue
        own = _read(result)
        # Long benchmarks note it row by row, since they are run in several sittings.
        origin = own if "date" in own else max(own["rows"], key=lambda row: str(row["date"]))
        machine = origin["machine"]
        named = f"{machine['cpu']}, {machine['cores']} cores"
        found.append(Recorded(script.stem, title, origin["command"], origin["date"][:10], named))
    return found


def comparisons(root: Path) -> list[Comparison]:
    """Return every comparison with a peer that is recorded.

    Raises
    ------
    CourseError
        If a results file is missing or cannot be read.
    """
    found: list[Comparison] = []
    for name, reader in _READERS.items():
        own = _read(root / "benchmarks" / "results" / f"{name}.json")
        try:
            found += [Comparison(name, *rest) for rest in reader(own)]
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise CourseError(
                f"benchmarks/results/{name}.json is not what its script writes "
                f"({type(error).__name__}: {error}); run: python benchmarks/{name}.py"
            ) from error
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    return found


_Line = tuple[str, str, str, float, float, float, float | None]


def _over(peer: dict[str, float], ours: dict[str, float]) -> tuple[float, float, float]:
    """Divide two spreads: of medians, and of the ends that stand furthest from each other."""
    ratio = peer["median"] / ours["median"]
    return ratio, peer["min"] / ours["max"], peer["max"] / ours["min"]


def _stored(ratio: dict[str, float]) -> tuple[float, float, float]:
    return ratio["median"], ratio["min"], ratio["max"]


def _dp_sgd_step(own: dict[str, Any]) -> Iterator[_Line]:
    for model, found in own["models"].items():
        seconds, differences = found["seconds"], found["largest_gradient_difference"]
        for peer in (name for name in seconds if name.startswith("tfp_")):
            named = peer.removeprefix("tfp_").replace("_", ", ").replace("dpse", "DPSe")
            yield (
                f"one private step, {model}",
                f"TensorFlow Privacy, {named}",
                "wall time",
                *_over(seconds[peer], seconds["ghost"]),
                differences[peer],
            )


def _federated_engines(own: dict[str, Any]) -> Iterator[_Line]:
    names = {"tff": "TensorFlow Federated", "keras": "Keras, client by client"}
    for model, found in own["comparison"].items():
        engines = found["engines"]
        ours = engines["vectorised"]["seconds_per_round"]
        for peer, row in engines.items():
            if peer != "vectorised":
                yield (
                    f"a round of {found['clients']} clients, {model}",
                    names.get(peer, peer.replace("flower", "Flower")),
                    "wall time",
                    *_over(row["seconds_per_round"], ours),
                    max(row["largest_weight_difference"]),
                )


def _membership_inference(own: dict[str, Any]) -> Iterator[_Line]:
    for key, peer in (("art", "ART"), ("tensorflow_privacy", "TensorFlow Privacy")):
        for work, row in own[key].items():
            if "cpu_seconds" in row:
                cost = row["cpu_seconds"]
                ratio = _over(cost["peer"], cost["ours"])
                yield work, peer, "CPU time", *ratio, row["largest_difference"]


def _pgd(own: dict[str, Any]) -> Iterator[_Line]:
    for model, found in own["models"].items():
        ours = found["robust_accuracy"]["ours"]
        for peer, ratio in found["multiple_of_ours"].items():
            difference = abs(found["robust_accuracy"][peer] - ours)
            work = f"PGD of {own['attack']['steps']} steps, {model}"
            yield work, peer, "CPU time", *_stored(ratio), difference


def _robust_aggregators(own: dict[str, Any]) -> Iterator[_Line]:
    wanted = (30, 100_000)
    for row in own["rows"]:
        if (row["clients"], row["parameters"]) != wanted or "cpu_seconds" not in row["ours"]:
            continue
        for peer in ("flower", "byzfl numpy", "byzfl torch"):
            cost = row.get(peer, {}).get("cpu_seconds")
            if cost:
                yield (
                    f"{row['rule']}, {wanted[0]} clients, {wanted[1]:,} parameters",
                    peer.replace("flower", "Flower").replace("byzfl", "ByzFL,"),
                    "CPU time",
                    *_over(cost, row["ours"]["cpu_seconds"]),
                    row[peer].get("largest_difference"),
                )


def _secure_aggregation(own: dict[str, Any]) -> Iterator[_Line]:
    for work, row in own["primitives"].items():
        yield work, "Flower", "CPU time", *_stored(row["ratio"]), None
    row = own["client_round"]
    work = f"a client's round, {row['clients']} clients, {row['parameters']:,} parameters"
    yield work, "Flower", "CPU time", *_stored(row["ratio"]), None


def _certification(own: dict[str, Any]) -> Iterator[_Line]:
    for row in own["rows"]:
        if row["experiment"] == "ART":
            ratio, setting = _stored(row["multiple_of_ours"]["cpu"]), row["settings"]
            work = f"certificates of {setting['votes']:,} votes, {setting['network']}"
            yield work, "ART", "CPU time", *ratio, row["largest_difference_of_radii"]
    megabytes = own["memory_megabytes"]
    for votes, peer in megabytes["ART"].items():
        if votes in megabytes["ours"]:
            ratio = peer / megabytes["ours"][votes]
            yield f"{int(votes):,} votes for one image", "ART", "memory", ratio, ratio, ratio, None


def _grading(own: dict[str, Any]) -> Iterator[_Line]:
    ours = own["graders"]["ours"]
    for peer in (name for name in own["graders"] if name != "ours"):
        row = own["graders"][peer]
        memory = _over(row["peak_megabytes"], ours["peak_megabytes"])
        for unit, ratio in (("CPU time", _stored(own["ratio"][peer])), ("memory", memory)):
            yield "one submission of lab 1", peer, unit, *ratio, None


def _shadow_training(own: dict[str, Any]) -> Iterator[_Line]:
    for model, found in own["models"].items():
        cost = {name: row["cpu"] for name, row in found["seconds_a_shadow"].items()}
        ratio = _over(cost["keras.fit"], cost["one compiled call"])
        yield f"one shadow model, {model}", "keras.fit", "CPU time", *ratio, None


_READERS = {
    "dp_sgd_step": _dp_sgd_step,
    "federated_engines": _federated_engines,
    "membership_inference": _membership_inference,
    "pgd": _pgd,
    "robust_aggregators": _robust_aggregators,
    "secure_aggregation": _secure_aggregation,
    "certification": _certification,
    "shadow_training": _shadow_training,
    "grading": _grading,
}
