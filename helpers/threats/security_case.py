"""A security case: what is claimed of a released file, what supports it, and who owns the rest.

An assurance case is a *goal*, an *argument* that breaks it into claims, and *evidence* under each
claim (Kelly and Weaver, *The Goal Structuring Notation*, 2004; ISO/IEC/IEEE 15026-2, *Assurance
case*). Here a claim is held by one number: an evidence file says which quantity was measured, on
which file (by its SHA-256), with which interval; the claim says what the number must reach. So a
machine can ask of every claim whether its evidence is there, is the evidence that was cited, speaks
of the file that ships, and is good enough at the worse end of its interval. Whether the argument
is a good one, a machine cannot ask.

A case lies in a folder: ``case.json``, the released file, and ``evidence/NAME.json``. A claim that
its evidence does not hold is not an error. It is reported, and never left out; the case can hold
all the same if a risk ``unmet@CLAIM`` says who answers for it, and until when.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from helpers._files import exists, write_atomically
from helpers._text import nearest, shown
from helpers.errors import ThreatModelError
from helpers.threats.evidence import (
    Evidence,
    check_form,
    day,
    decoded,
    digest,
    evidence_from_json,
)
from helpers.threats.measurement import read_json

SCHEMA = "edgesec-security-case/1"
UNMET = "unmet@"  # with the name of a claim: the id of the risk that it is not supported
MOST_ARTEFACT = 64 * 2**20  # bytes of the released file
Decision = Literal["accept", "mitigate", "transfer", "open"]
State = Literal["supported", "not supported", "stale", "changed", "missing"]


@dataclass(frozen=True)
class Claim:
    """One sentence about the released file, and the number that is to hold it.

    Attributes
    ----------
    name
        Short name, in small letters, digits and hyphens.
    text
        What is claimed.
    because
        Why the number speaks of the claim.
    evidence, sha256
        Name of the evidence file, and its SHA-256 when it was cited.
    relation, limit
        ``"at least"`` or ``"at most"``, and what the worse end of the interval must reach.
    """

    name: str
    text: str
    because: str
    evidence: str
    sha256: str
    relation: Literal["at least", "at most"]
    limit: float


@dataclass(frozen=True)
class Risk:
    """A threat that no claim closes, and who answers for it.

    Attributes
    ----------
    threat
        Its id in the threat model, ``rule@target``; or ``unmet@CLAIM`` for a claim that its
        evidence does not support.
    text
        What can happen, in words that its owner reads.
    decision
        ``"accept"``, ``"mitigate"`` (a control comes by the date), ``"transfer"``, or ``"open"``:
        nobody has decided.
    owner
        The person who answers for it.
    until
        Last day on which the decision holds.
    reason
        Why it was decided so.

    Raises
    ------
    ThreatModelError
        If there is no such decision.
    """

    threat: str
    text: str
    decision: Decision
    owner: str
    until: datetime.date
    reason: str

    def __post_init__(self) -> None:
        if self.decision not in get_args(Decision):
            raise ThreatModelError(
                f"{shown(self.threat)}: decision is {shown(str(self.decision))}; "
                f"{nearest(str(self.decision), get_args(Decision))}"
            )

    def problem(self, today: datetime.date) -> str:
        """Say why the risk is not decided on a day, or ``""``."""
        if self.decision == "open":
            return "nobody has decided"
        if not self.owner.strip() or not self.reason.strip():
            return "it has no owner" if not self.owner.strip() else "it has no reason"
        return f"its decision ended on {self.until.isoformat()}" if self.until < today else ""


@dataclass(frozen=True)
class SecurityCase:
    """A goal, the claims under it, and the risks that are left.

    Attributes
    ----------
    name
        Of product and release.
    goal, argument
        What all claims together are to show, and why they would.
    artefact, sha256
        Name and SHA-256 of the file that ships.
    claims, risks
        In the order in which they are shown.
    not_covered
        What nobody looked at, in sentences.

    Raises
    ------
    ThreatModelError
        If two claims or two risks have the same name.
    """

    name: str
    goal: str
    argument: str
    artefact: str
    sha256: str
    claims: tuple[Claim, ...]
    risks: tuple[Risk, ...]
    not_covered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, names in (
            ("claims", [claim.name for claim in self.claims]),
            ("risks", [risk.threat for risk in self.risks]),
        ):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ThreatModelError(f"two {what} are called {shown(repeated[0])}: keep one.")

    def to_json(self) -> dict[str, Any]:
        """Return the case in the form that :func:`case_from_json` reads."""
        content = {"schema": SCHEMA, **asdict(self)}
        for risk in content["risks"]:
            risk["until"] = risk["until"].isoformat()
        content |= {key: list(content[key]) for key in ("claims", "risks", "not_covered")}
        return content


@dataclass(frozen=True)
class Finding:
    """What became of one claim.

    Attributes
    ----------
    claim
        The claim.
    state
        ``"supported"``; ``"not supported"``: the number misses the limit; ``"stale"``: another
        file was measured; ``"changed"``: the evidence is not the one that was cited;
        ``"missing"``: it is not there, or cannot be read.
    why
        In a sentence.
    evidence
        What was read, or None.
    """

    claim: Claim
    state: State
    why: str
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Examination:
    """What a machine says of a case.

    Attributes
    ----------
    findings
        One a claim, in their order.
    problems
        Everything else that is wrong: the file that ships, the risks.
    waived
        Names of claims that are not supported, and that somebody answers for all the same.
    """

    findings: tuple[Finding, ...]
    problems: tuple[str, ...]
    waived: tuple[str, ...] = ()

    @property
    def objections(self) -> tuple[str, ...]:
        """All that keeps the case from holding; empty if it holds."""
        failed = [
            f for f in self.findings if f.state != "supported" and f.claim.name not in self.waived
        ]
        return (*(f"{f.claim.name}: {f.state}, {f.why}" for f in failed), *self.problems)


def cite(evidence: Evidence, **claim: Any) -> Claim:
    """Return a claim that cites a piece of evidence as it is now.

    Parameters
    ----------
    evidence
        What is cited.
    **claim
        The other fields of :class:`Claim`; ``evidence``, the file's name, is ``name`` if left out.
    """
    return Claim(**({"evidence": claim["name"]} | claim), sha256=digest(evidence.to_bytes()))


def find(claim: Claim, content: bytes | None, shipped: str) -> Finding:
    """Hold one claim against its evidence.

    Parameters
    ----------
    claim
        The claim.
    content
        The evidence file; None if it is not there.
    shipped
        SHA-256 of the file that ships.
    """
    if content is None:
        return Finding(claim, "missing", f"evidence/{claim.evidence}.json is not there")
    if digest(content) != claim.sha256:
        return Finding(claim, "changed", "the evidence is not the file that the claim cites")
    try:
        evidence = evidence_from_json(decoded(content), claim.evidence)
    except ThreatModelError as error:
        return Finding(claim, "missing", str(error))
    if evidence.measures != shipped:
        why = f"measured on {evidence.measures[:12]}..., shipped is {shipped[:12]}..."
        return Finding(claim, "stale", why, evidence)
    worse = evidence.low if claim.relation == "at least" else evidence.high
    reached = worse >= claim.limit if claim.relation == "at least" else worse <= claim.limit
    why = f"{worse:.5g} at the worse end, {claim.relation} {claim.limit:g} was asked"
    return Finding(claim, "supported" if reached else "not supported", why, evidence)


def examine(
    case: SecurityCase,
    artefact: bytes | None,
    evidence: Mapping[str, bytes],
    today: datetime.date,
    required: Iterable[str] = (),
) -> Examination:
    """Hold a case against the bytes that it speaks of.

    Parameters
    ----------
    case
        The case.
    artefact
        The file that ships; None if it is not there.
    evidence
        Evidence files by name.
    today
        The day on which decisions are judged.
    required
        Threats that must be decided, by whoever examines; the case's own list is the author's.
    """
    problems = []
    shipped = digest(artefact) if artefact is not None else ""
    if artefact is None:
        problems.append(f"the released file {shown(case.artefact)} is not there")
    elif shipped != case.sha256:
        problems.append(f"{case.artefact} is not the file that this case was made for")
    if not case.claims:
        problems.append("the case claims nothing")
    listed = {risk.threat: risk for risk in case.risks}
    for threat in dict.fromkeys([*listed, *required]):
        why = listed[threat].problem(today) if threat in listed else "the case does not list it"
        if why:
            problems.append(f"{threat}: {why}")
    findings = tuple(find(claim, evidence.get(claim.evidence), shipped) for claim in case.claims)
    waived = [
        f.claim.name
        for f in findings
        # Only a number that was honestly missed: nobody answers for evidence that is not there.
        if f.state == "not supported"
        and (risk := listed.get(f"{UNMET}{f.claim.name}")) is not None
        and not risk.problem(today)
    ]
    return Examination(findings, tuple(problems), tuple(waived))


def write_case(
    folder: str | Path,
    case: SecurityCase,
    artefact: bytes,
    evidence: Mapping[str, Evidence],
) -> Path:
    """Write a case into a folder, which is made if missing.

    Raises
    ------
    ThreatModelError
        If the case would not be read back, or cannot be written.
    """
    case_from_json(case.to_json())
    target = Path(folder)
    files = {target / "evidence" / f"{name}.json": e.to_bytes() for name, e in evidence.items()}
    files |= {
        target / case.artefact: artefact,
        target / "case.json": (json.dumps(case.to_json(), indent=1) + "\n").encode(),
    }
    try:
        for path, content in files.items():
            write_atomically(path, content)
    except OSError as error:
        raise ThreatModelError(f"{folder} cannot be written: {error.strerror}.") from error
    return target


def read_case(folder: str | Path) -> tuple[SecurityCase, bytes | None, dict[str, bytes]]:
    """Read a case, its released file, and the evidence that it cites, as far as they are there.

    Raises
    ------
    ThreatModelError
        If ``case.json`` is missing or has not the form, or a file is too large.
    """
    folder = Path(folder)
    case = case_from_json(read_json(folder / "case.json"), "case.json")
    paths = {c.evidence: folder / "evidence" / f"{c.evidence}.json" for c in case.claims}
    found = {name: _content(path, 2**18) for name, path in paths.items()}
    evidence = {name: content for name, content in found.items() if content is not None}
    return case, _content(folder / case.artefact, MOST_ARTEFACT), evidence


def case_from_json(content: Any, source: str = "case") -> SecurityCase:
    """Read a case; ``data/security-case.schema.json`` describes the form.

    Raises
    ------
    ThreatModelError
        If it has not that form; with the place.
    """
    check_form(content, source)
    values = {key: content[key] for key in (field.name for field in fields(SecurityCase))}
    values["claims"] = tuple(Claim(**claim) for claim in values["claims"])
    values["risks"] = tuple(
        Risk(**risk | {"until": day(risk["until"], f"{source}: {risk['threat']}")})
        for risk in values["risks"]
    )
    return SecurityCase(**values | {"not_covered": tuple(values["not_covered"])})


def _content(path: Path, most: int) -> bytes | None:
    """Return the content of a file, None if there is none."""
    if not exists(path) or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ThreatModelError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > most:
        raise ThreatModelError(f"{path} is larger than {most:,} bytes.")
    return content
