"""``edgesec threats``: model a system, derive its threats, and gate on them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.errors import ThreatModelError

if TYPE_CHECKING:
    from helpers.threats.engine import Analysis

_LEVELS = ("low", "medium", "high", "critical")


@click.group()
def command() -> None:
    """Model a system, derive its threats, and gate on them.

    MODEL is the name of a model that ships (`edgesec threats list`) or a YAML file of your own.
    """


def _model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("model"),
        click.option("--measured", multiple=True, metavar="FILE[#NAME][@TARGET]",
                     help="Measurements (JSON) that replace guesses: a lab's, of which NAME is "
                          "the one meant, an assessment, or an audit's. TARGET is the element or "
                          "flow they speak of. May be repeated."),
        click.option("--today", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD",
                     help="The day on which acceptances are judged.  [default: today]"),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _day(today: datetime.datetime | None) -> datetime.date:
    return today.date() if today else datetime.date.today()


def _parts(given: str) -> tuple[str, str, str]:
    """Split FILE[#NAME][@TARGET]; the file's own name may hold either sign."""
    from helpers._files import exists

    path, name, target = given, "", ""
    for sign in "@#":
        before, _, after = path.rpartition(sign)
        if before and not exists(Path(path)):
            path = before
            name, target = (after, target) if sign == "#" else (name, after)
    return path, name, target


def _analysis(model: str, measured: tuple[str, ...] = ()) -> Analysis:
    from helpers import threats

    results: list[threats.Measurement] = []
    for given in measured:
        path, name, target = _parts(given)
        results += threats.read_report(path, target, name)
    return threats.analyse(threats.load(model), results)


@command.command("list")
def list_models() -> None:
    """List the models that ship, and the rules."""
    from helpers import threats

    click.secho("models", bold=True)
    for name in threats.shipped():
        model = threats.load(name)
        click.echo(f"  {name}  {model.title}")
    click.secho("rules", bold=True)
    for rule in threats.all_rules():
        letters = "".join(rule.stride)
        click.echo(f"  {rule.id:<24} {letters:<3} {'ML ' if rule.ml else '   '}{rule.title}")


@command.command()
@click.argument("word")
def explain(word: str) -> None:
    """Explain WORD: a field of a model file, a rule, a control, an id such as ML05:2023."""
    from helpers.threats.explaining import explain as explained

    click.echo(explained(word))


@command.command()
@_model_options
@click.option("--at", type=click.Choice(_LEVELS), default="high", show_default=True,
              help="Fail on a threat of this level or above.")  # fmt: skip
def check(model: str, measured: tuple[str, ...], today: datetime.datetime | None, at: str) -> None:
    """Fail if a threat at or above a level has no acceptance that holds today: for CI."""
    analysis = _analysis(model, measured)
    counts = ", ".join(f"{count} {level}" for level, count in analysis.counts().items())
    click.echo(f"{analysis.model.name}: {len(analysis.threats)} threats: {counts}")
    blocking = analysis.unaccepted(at, _day(today))
    for threat in blocking:
        click.echo(f"  {threat.level:<8} {threat.risk:.1f}  {threat.id}  {threat.rule.title}")
    if blocking:
        raise ThreatModelError(
            f"{len(blocking)} threats at {at} or above without an acceptance that holds: add a "
            "control, a measurement, or an entry under `acceptances:`"
        )
    click.echo(f"no threat at {at} or above is without an acceptance that holds")


@command.command()
@_model_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write to a file; its suffix (.md, .html, .json) decides the form.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["md", "html", "otm"]),
              help="Form: Markdown, one HTML file, or Open Threat Model JSON.")  # fmt: skip
def report(
    model: str,
    measured: tuple[str, ...],
    today: datetime.datetime | None,
    out: Path | None,
    form: str | None,
) -> None:
    """Write the report: diagram, ranking, each score with its reason, privacy, Zero Trust."""
    from helpers import threats

    form = form or _form(out, {".md": "md", ".html": "html", ".json": "otm"}, "md")
    analysis = _analysis(model, measured)
    if form == "otm":
        text = json.dumps(threats.to_otm(analysis), indent=1) + "\n"
    else:
        written = threats.to_html if form == "html" else threats.to_markdown
        text = written(analysis, _day(today))
    _give(text, out)


@command.command()
@_model_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write to a file; its suffix (.svg, .mmd) decides the form.")  # fmt: skip
def graph(
    model: str, measured: tuple[str, ...], today: datetime.datetime | None, out: Path | None
) -> None:
    """Draw the data-flow diagram as SVG, or as Mermaid text when no file is named."""
    from helpers import threats

    analysis = _analysis(model, measured)
    if _form(out, {".svg": "svg", ".mmd": "mmd"}, "mmd") == "svg":
        _give(threats.to_svg(analysis.model, analysis), out)
    else:
        _give(threats.to_mermaid(analysis.model), out)


@command.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Show what changed between two versions of a model, and in its threats."""
    from helpers import threats

    click.echo(threats.difference(_analysis(old), _analysis(new)))


@command.command()
@click.argument("model")
@click.argument("reference")
@click.option("--pairs", is_flag=True, help="Show what was taken for what, and why.")
def compare(model: str, reference: str, pairs: bool) -> None:
    """Show what MODEL leaves out beside REFERENCE, whatever its author called things."""
    from helpers import threats

    found = threats.compare(threats.load(model), threats.load(reference))
    if pairs:
        for pair in found.pairs:
            click.echo(f"{pair.own} = {pair.reference}  ({pair.agreement:.0%}: {pair.reason})")
    click.echo(found)


@command.command("case")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", metavar="MODEL",
              help="Threat model whose threats the case must decide; the case's own list is its "
                   "author's.")  # fmt: skip
@click.option("--at", type=click.Choice(_LEVELS), default="high", show_default=True,
              help="With --model: threats of this level or above.")  # fmt: skip
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD",
              help="The day on which decisions are judged.  [default: today]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write the case as one HTML file.")  # fmt: skip
def security_case(
    folder: Path, model: str | None, at: str, today: datetime.datetime | None, out: Path | None
) -> None:
    """Examine the security case in FOLDER; fail if it does not hold.

    Recomputes every hash and comparison: of the released file, of each piece of evidence, of each
    claim's number, of each risk's owner and date.
    """
    from helpers.threats.security_case import examine, read_case
    from helpers.threats.security_case_page import case_to_html

    day = _day(today)
    required = [threat.id for threat in _analysis(model).unaccepted(at, day)] if model else []
    case, artefact, evidence = read_case(folder)
    found = examine(case, artefact, evidence, day, required)
    for finding in found.findings:
        click.echo(f"  {finding.state:<13} {finding.claim.name}: {finding.why}")
    if out is not None:
        _form(out, {".html": "html"}, "html")
        _give(case_to_html(case, found, day), out)
    if found.objections:
        lines = "\n".join(f"  {objection}" for objection in found.objections)
        raise ThreatModelError(f"the case does not hold on {day}:\n{lines}")
    click.echo(f"the case holds on {day}: {len(found.findings)} claims, {len(case.risks)} risks")


def _form(out: Path | None, suffixes: dict[str, str], default: str) -> str:
    if out is None:
        return default
    if out.suffix not in suffixes:
        raise ThreatModelError(f"{out} must end in {' or '.join(suffixes)}.")
    return suffixes[out.suffix]


def _give(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    from helpers._files import write_atomically

    write_atomically(out, text, ThreatModelError)
    click.echo(f"wrote {out}")
