"""What changed between two audits, and whether the numbers show it.

Two numbers with intervals differ if their intervals do not overlap, which is stricter than a test
at 5%: a change that is called one is one. Numbers without an interval were counted, not sampled,
and differ if they differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from helpers.audit.results import interval_text
from helpers.robustness.findings import SEVERITIES

Verdict = Literal["better", "worse", "changed", "no change shown", "same", "only before",
                  "only after"]  # fmt: skip
_CONDITIONS = ("budget", "seed", "epsilon", "images", "attack_queries", "answers")


@dataclass(frozen=True)
class Change:
    """One number in two audits.

    Attributes
    ----------
    section, title
        What it is.
    before, after
        As a report shows them; empty where there is none.
    verdict
        What the two show.
    """

    section: str
    title: str
    before: str
    after: str
    verdict: Verdict


@dataclass(frozen=True)
class FindingChange:
    """A finding that came, went or is rated anew; a severity is empty where there was none."""

    section: str
    title: str
    before: str
    after: str

    @property
    def worse(self) -> bool:
        """Whether it came, or is rated worse than before; a note is no weakness."""
        rank = [SEVERITIES.index(s) if s else 0 for s in (self.before, self.after)]
        return rank[1] > rank[0]


@dataclass(frozen=True)
class Comparison:
    """Two audits, side by side. Made by :func:`compare`.

    Attributes
    ----------
    changes
        One a number.
    findings
        Those that changed.
    cautions
        Why numbers may differ for other reasons than the model.
    """

    changes: tuple[Change, ...]
    findings: tuple[FindingChange, ...]
    cautions: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether a number is shown to be worse, or a finding is new or rated worse."""
        return any(change.verdict == "worse" for change in self.changes) or any(
            finding.worse for finding in self.findings
        )


def compare(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """Compare two audits of the published form, number by number and finding by finding.

    Parameters
    ----------
    before, after
        From :func:`helpers.audit.schema.read`.
    """
    old, new = _measures(before), _measures(after)
    changes = tuple(_change(key, old.get(key), new.get(key)) for key in {**old, **new})
    return Comparison(
        changes, tuple(_finding_changes(before, after)), tuple(_cautions(before, after))
    )


def shown(measure: dict[str, Any]) -> str:
    """Return a number with its interval as a report shows it."""
    value, unit = measure["value"], measure["unit"]
    if unit == "share":
        text = f"{value:.1%}"
    elif float(value).is_integer():
        text = f"{int(value):,} {unit}".strip()
    else:
        text = f"{value:.3g} {unit}".strip()
    interval = interval_text(measure["low"], measure["high"], unit)
    return f"{text} ({interval})" if interval else text


def _measures(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (section["title"], measure["key"]): measure
        for section in report["sections"]
        for measure in section["measures"]
    }


def _change(key: tuple[str, str], old: dict[str, Any] | None, new: dict[str, Any] | None) -> Change:
    if old is None or new is None:
        one = old if old is not None else new
        assert one is not None
        verdict: Verdict = "only before" if new is None else "only after"
        cells = ("" if old is None else shown(old), "" if new is None else shown(new))
        return Change(key[0], one["title"], *cells, verdict)
    return Change(key[0], new["title"], shown(old), shown(new), _verdict(old, new))


def _verdict(old: dict[str, Any], new: dict[str, Any]) -> Verdict:
    if old["value"] == new["value"]:
        return "same"
    ends = [old["low"], old["high"], new["low"], new["high"]]
    if None not in ends and ends[0] <= ends[3] and ends[2] <= ends[1]:
        return "no change shown"
    if None in ends and new["kind"] == "measured" and new["trials"] is not None:
        return "no change shown"  # sampled, and nobody said how firmly
    if not new["better"]:
        return "changed"
    rose = new["value"] > old["value"]
    return "better" if rose == (new["better"] == "higher") else "worse"


def _finding_changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[FindingChange]:
    sides = []
    for report in (before, after):
        sides.append({
            (section["title"], finding["title"]): finding["severity"]
            for section in report["sections"]
            for finding in section["findings"]
        })  # fmt: skip
    for key in {**sides[0], **sides[1]}:
        pair = sides[0].get(key, ""), sides[1].get(key, "")
        if pair[0] != pair[1]:
            yield FindingChange(*key, *pair)


def _setting(report: dict[str, Any], name: str) -> Any:
    value = report["settings"].get(name)
    return "not stated" if value in ("", None) else value


def _cautions(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    digests = [report["data"] and report["data"]["sha256"] for report in (before, after)]
    if digests[0] != digests[1]:
        yield "The two audits used different examples: every number may differ because of them."
    for name in _CONDITIONS:
        pair = [_setting(report, name) for report in (before, after)]
        if pair[0] != pair[1]:
            yield f"{name} was {pair[0]} and is {pair[1]}."
    if before["machine"] != after["machine"]:
        yield f"Latency and memory were measured on {before['machine']} and on {after['machine']}."
    for name, report in (("first", before), ("second", after)):
        if report["verdict"]["outcome"] == "refused":
            yield f"The file of the {name} audit was refused: nothing was measured on it."
        if not report["complete"]:
            yield f"The {name} audit was interrupted: sections are missing from it."
