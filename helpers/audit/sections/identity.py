"""What the file is, by what it says of itself."""

from __future__ import annotations

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Better, Measure, Notes, Rated

MOST_ROWS = 40
RULE_CODE = (
    "Operators that no standard defines run code that came with the file or has to be linked for "
    "it, which no check of ours covers: medium."
)


def identity(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Note size, numbers, contract and operators of the file."""
    allowance.require()
    model = bench.model
    said, contract = model.description, model.contract
    _sizes(bench, notes)
    rows = [
        (side, port.name, " × ".join("?" if s is None else str(s) for s in port.shape), port.dtype,
         f"{port.scale:.6g}, zero {port.zero_point}" if port.scale else "-")
        for side, ports in (("in", contract.inputs), ("out", contract.outputs))
        for port in ports
    ]  # fmt: skip
    notes.table("Contract", ("", "Name", "Shape", "Numbers", "Scale"), rows[:MOST_ROWS])
    facts = [
        ("Runtime", said.runtime),
        ("Numbers", said.quantisation),
        ("State between runs", "kept" if contract.stateful else "none"),
        *((name, value) for name, value in said.metadata.items()),
    ]
    notes.table("Said by the file", ("", "Value"), facts[:MOST_ROWS])
    operators = sorted(said.operators.items(), key=lambda pair: -pair[1])
    notes.table("Operators", ("Operator", "Times"), operators[:MOST_ROWS])
    if said.unreadable:
        notes.not_done.append(f"What is inside: its graph cannot be read ({said.unreadable}).")
    if said.custom_operators:
        notes.findings.append(Rated(
            "It needs operators that no standard defines", "medium",
            ", ".join(said.custom_operators[:10]),
            "Find out who wrote them, and read that code as you would any other.", RULE_CODE,
        ))  # fmt: skip
    for note in said.notes:
        if "Python code" in note:
            notes.findings.append(Rated(
                "The file runs code of its author when it is loaded", "high", note,
                "Ship the converted file, which holds none, and load the original nowhere else.",
                "Whoever loads it gives its author their computer: high. That code "
                "also chooses which network this audit has seen.",
            ))  # fmt: skip


def _sizes(bench: Bench, notes: Notes) -> None:
    said = bench.model.description

    def read(key: str, title: str, value: int | None, unit: str = "", lower: bool = True) -> None:
        if value is not None:
            better: Better = "lower" if lower else ""
            notes.measures.append(Measure(key, title, value, unit=unit, kind="read", better=better))

    read("size", "Size of the file", bench.model.size_bytes, "bytes")
    read("operators", "Operations", sum(said.operators.values()), lower=False)
    read("parameters", "Real-valued constants", said.parameters, lower=False)
    read("weights", "Their size as stored", said.weight_bytes, "bytes")
    read("macs", "Multiply-accumulates of a run", said.macs)
    read("arena", "Working memory, planned as on a microcontroller", said.arena_bytes, "bytes")
    read("state", "State kept between runs", said.state_bytes, "bytes")
