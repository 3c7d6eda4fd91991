"""The part of a model card that an audit can fill in, as Markdown to paste.

Its headings are those of Mitchell et al., *Model cards for model reporting*, FAT* 2019,
doi:10.1145/3287560.3287596. What an audit cannot know (who made the model, what it is meant for,
what it was trained on) is left to be written by whoever does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from helpers._text import escape_markdown
from helpers.audit.compare import shown
from helpers.audit.report import findings_of, undone_of
from helpers.audit.schema import clean

_NUMBERS = ("accuracy", "quantisation", "corruption", "attacks", "extraction", "membership",
            "ownership", "cost")  # fmt: skip


def to_card(audit: dict[str, Any]) -> str:
    """Return the model card's section of an audit of the published form."""
    return "\n\n".join(_blocks(audit)) + "\n"


def _blocks(audit: dict[str, Any]) -> Iterator[str]:
    yield "## Model details"
    yield from _details(audit)
    yield "## Evaluation data"
    yield _data(audit["data"])
    yield "## Quantitative analyses"
    yield from _numbers(audit)
    yield "## Caveats and recommendations"
    yield from _caveats(audit)


def _details(audit: dict[str, Any]) -> Iterator[str]:
    model = audit["model"]
    yield (
        f"- File: {_text(model['name'])}, {model['bytes']:,} bytes, SHA-256 `{model['sha256']}`\n"
        f"- Form: {_text(model['format'])}; task by its contract: {_text(model['task'])}"
    )
    if model["answers"]:
        yield f"Answers were {_text(model['answers'])}."
    if audit["verdict"]["outcome"] == "refused":
        yield f"The audit's verdict: {_text(audit['verdict']['reason'])}"


def _data(data: dict[str, Any] | None) -> str:
    if data is None:
        return "None was supplied to the audit."
    return (
        f"{data['examples']:,} examples in {_text(data['name'])}, SHA-256 `{data['sha256']}`. "
        "*Say here where they come from and whom they stand for.*"
    )


def _numbers(audit: dict[str, Any]) -> Iterator[str]:
    yield (
        f"By `edgesec audit` on {_text(audit['made'][:10])}, seed {audit['settings']['seed']}. "
        "Intervals are 95%, but that of the latency holds nine of ten runs and that of an estimate "
        "four of five stacks. What is called estimated was not measured."
    )
    rows = [
        f"| {_text(m['title'])} | {_text(shown(m))} | {_basis(m)} |"
        for section in audit["sections"]
        if section["name"] in _NUMBERS
        for m in section["measures"]
    ]
    header = ["| Measure | Value | Rests on |", "| --- | --- | --- |"]
    yield "\n".join([*header, *rows]) if rows else "Nothing was measured."


def _caveats(audit: dict[str, Any]) -> Iterator[str]:
    found = [
        f"- **{finding['severity']}** {_text(finding['title'])}: {_text(finding['evidence'])}. "
        f"{_text(finding['advice'])}"
        for _, finding in findings_of(audit)
    ]
    yield "\n".join(found) or "The audit has no findings."
    undone = [
        f"- {_text(', '.join(section['title'] for section in sections))}: {_text(reason)}"
        for sections, reason in undone_of(audit)
    ]
    if undone:
        yield "Not done in this audit:"
        yield "\n".join(undone)


def _basis(measure: dict[str, Any]) -> str:
    if measure["kind"] == "estimated":
        return "estimated, not measured"
    return f"{measure['trials']:,}" if measure["trials"] else "-"


def _text(value: str) -> str:
    return escape_markdown(clean(value))
