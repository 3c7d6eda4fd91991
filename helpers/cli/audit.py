"""``edgesec audit``: measure a model file of one's own, in a sandbox, and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.cli._groups import RunByDefault
from helpers.errors import AuditError

if TYPE_CHECKING:
    from helpers.audit.report import Beside
    from helpers.threats.measurement import Measurement

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)
ANSWERS = ("probabilities", "logits", "scores", "embedding", "values")
_SEVERITIES = ("low", "medium", "high", "critical")
FOUND = 3  # exit code: something as bad as --fail-on, or worse than before
REFUSED = 4  # exit code: the file could not be opened, and the report says why
INTERRUPTED = 130  # exit code, as a shell gives it for Ctrl-C
NAMES = {
    "json": "audit.json",
    "html": "audit.html",
    "card": "model-card.md",
    "threats": "threats.json",
}
_EXAMPLES = """
\b
Examples:
  edgesec audit model.tflite                       what it is, what it costs
  edgesec audit model.tflite --data data.npz       accuracy, corruptions, extraction, attacks too
  edgesec audit model.tflite --data data.npz --float model.keras --budget 20m --out audits/v2
  edgesec audit model.tflite --data data.npz --fail-on high          for CI: exit code 3
  edgesec audit model.onnx --data data.npz --input-shape 224,224,3 --answers logits
  edgesec audit model.tflite --mark-key owner.key --mark-layer 3     is it ours?
  edgesec audit compare audits/v1/audit.json audits/v2/audit.json
  edgesec threats check smart-speaker --measured audits/v2/threats.json
"""


class _AuditGroup(RunByDefault):
    """A group whose own help is that of ``run``, which is hidden."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "MODEL [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        run.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(
    name="audit", cls=_AuditGroup, epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
def command() -> None:
    """Audit MODEL, a .tflite, .onnx, .keras or .h5 file, and write one report.

    The file is opened, read and run in a sandbox, whoever made it. The data are an .npz of plain
    arrays: x (n, ...) in the numbers that the model takes, or uint8 pictures, and y (n,) whole
    numbers; members_x, members_y, nonmembers_x, nonmembers_y for membership leakage; triggers_x,
    triggers_y or fingerprint_x, fingerprint_y for ownership. Written are audit.html, audit.json
    (`edgesec audit schema` prints its form), model-card.md to paste, and threats.json for
    `edgesec threats --measured`.

    Exit codes: 0 done; 1 an error, nothing written; 2 wrong usage; 3 a finding as bad as
    --fail-on; 4 the file was refused (damaged, of another kind, or it ended the process that opened
    it): the report says why; 130 interrupted by Ctrl-C, SIGTERM or SIGHUP: the report holds what
    was done.
    """


@command.command(hidden=True)
@click.argument("model", type=_FILE)
@click.option("--data", "source", type=_FILE, help=".npz of examples; see above.")
@click.option("--out", type=_OUT, help="Folder for the report.  [default: audit-MODEL]")
@click.option(
    "--budget",
    default="5m",
    show_default=True,
    help="Time for all sections, such as 90s or 1h. Opening the file and writing the page come on "
    "top, and the last step of a section may overrun it by a few seconds.",
)
@click.option("--float", "float_model", type=_FILE, help="The float model the file was made from.")
@click.option("--innocent", "innocents", type=_FILE, multiple=True,
              help="A model made without the owner's, for ownership. May be repeated.")  # fmt: skip
@click.option("--public-key", type=_FILE, help="PEM file to check the file's signature with.")
@click.option("--signature", type=_FILE, help="The signature.  [default: MODEL.sig]")
@click.option("--device", "devices", multiple=True,
              help="Estimate the latency on it. May be repeated.  [default: all]")  # fmt: skip
@click.option("--epsilon", default="4/255", show_default=True,
              help="Most that an attack may change a pixel, of a range of 1.")  # fmt: skip
@click.option("--images", type=click.IntRange(1), default=200, show_default=True,
              help="Examples for attacks and corruptions, at most.")  # fmt: skip
@click.option("--queries", type=click.IntRange(2), default=500, show_default=True,
              help="Questions that an attack may ask about one example.")  # fmt: skip
@click.option("--range", "span", metavar="LOW,HIGH",
              help="What the model takes black and white as, such as 0,1.")  # fmt: skip
@click.option("--answers", type=click.Choice(ANSWERS), default=None,
              help="What the model's answers are: probabilities that sum to 1, logits, scores (one "
              "a class, only their order counts, such as one sigmoid each), or an embedding or "
              "values, which name no class.  [default: told from the answers]")  # fmt: skip
@click.option("--input-shape", metavar="N,N,...",
              help="Sizes of the input after the batch, where the file leaves them "
              "open.")  # fmt: skip
@click.option("--mark-key", type=_FILE,
              help="The owner's secret of 32 bytes (raw, or in hex), to look for a message in the "
              "weights.")  # fmt: skip
@click.option("--mark-layer", type=click.IntRange(0),
              help="Kernel that was marked, counted from 0; with --mark-key.")  # fmt: skip
@click.option("--mark-bits", type=click.IntRange(1), default=256, show_default=True,
              help="Length of that message.")  # fmt: skip
@click.option("--label-offset", default=0, show_default=True, help="Added to each label.")
@click.option("--target", default="", metavar="NAME",
              help="Element of the threat model that threats.json speaks of.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option("--fail-on", type=click.Choice(_SEVERITIES),
              help="Exit with code 3 if a finding is as bad.")  # fmt: skip
@click.option("--unsafe", is_flag=True, help="Go on where a layer of the sandbox is missing.")
@click.option("--quiet", is_flag=True, help="No progress bar, no summary.")
@click.pass_context
def run(ctx: click.Context, /, model: Path, **options: Any) -> None:
    """Audit a model file."""
    for name, value in (("TF_CPP_MIN_LOG_LEVEL", "3"), ("TF_ENABLE_ONEDNN_OPTS", "0")):
        os.environ.setdefault(name, value)  # TensorFlow's news would tear the progress bar
    from helpers.audit.allowance import parse_duration
    from helpers.audit.report import findings_of
    from helpers.cli._audit_options import settings_of
    from helpers.cli._signals import ended_by_signals

    budget = parse_duration(options["budget"])
    settings = settings_of(options)
    folder = options["out"] or Path(f"audit-{model.stem}")
    with ended_by_signals():
        try:
            report = _audit(model, settings, budget, folder, options)
        except KeyboardInterrupt:
            click.echo("\nInterrupted; what was done is kept.", err=True)
            ctx.exit(INTERRUPTED)
    if not options["quiet"]:
        _summary(report, folder)
    if report["verdict"]["outcome"] == "refused":
        ctx.exit(REFUSED)
    found = [finding["severity"] for _, finding in findings_of(report)]
    least = options["fail_on"]
    if least and any(s in _SEVERITIES[_SEVERITIES.index(least) :] for s in found):
        ctx.exit(FOUND)


def _audit(
    model: Path, settings: Any, budget: float, folder: Path, options: dict[str, Any]
) -> dict[str, Any]:
    """Write the report of a file, whether it was measured, refused or interrupted."""
    from helpers.audit.refusal import REFUSALS, refused_report
    from helpers.audit.runner import run_audit
    from helpers.cli._audit_options import bench_of, opening_of

    with ExitStack() as stack:
        opening = opening_of(budget, options)
        try:
            opened = stack.enter_context(opening(model))
        except REFUSALS as error:
            report = refused_report(model, error, settings, budget)
            _make(folder)
            _keep(folder, report)
            _write_pages(folder, report, options["target"])
            return report
        bench = bench_of(stack, model, opened, settings, opening, options)
        _make(folder)
        started = False

        def keep(report: dict[str, Any]) -> None:
            nonlocal started
            _keep(folder, report)
            started = True

        try:
            report = run_audit(bench, budget, keep=keep, progress=not options["quiet"])
        except KeyboardInterrupt:
            if started:
                _write_pages(folder, _read_back(folder), options["target"])
            raise
    _write_pages(folder, report, options["target"])
    return report


@command.command()
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page.")
@click.option("--all", "everything", is_flag=True, help="Show unchanged numbers too.")
@click.option("--fail-on-worse", is_flag=True,
              help="Exit with code 3 if a number is worse or a finding is new.")  # fmt: skip
@click.pass_context
def compare(
    ctx: click.Context, /, before: Path, after: Path, html: Path | None, everything: bool,
    fail_on_worse: bool,
) -> None:  # fmt: skip
    """Show what changed from the audit BEFORE to the audit AFTER, both audit.json."""
    from helpers._files import write_atomically
    from helpers.audit import schema
    from helpers.audit.compare import compare as compare_audits
    from helpers.audit.report import comparison_to_html

    pair = schema.read(before), schema.read(after)
    found = compare_audits(*pair)
    for caution in found.cautions:
        click.echo(f"note      {schema.clean(caution)}")
    for one in found.findings:
        state = f"{one.before or 'absent'} -> {one.after or 'gone'}"
        click.echo(f"finding   {schema.clean(one.section)}: {schema.clean(one.title)}: {state}")
    for change in found.changes:
        if everything or change.verdict not in ("same", "no change shown"):
            values = f"{change.before or '-'} -> {change.after or '-'}"
            text = f"{change.section}: {change.title}: {values}"
            click.echo(f"{change.verdict:9} {schema.clean(text)}")
    if not everything:
        same = sum(c.verdict in ("same", "no change shown") for c in found.changes)
        click.echo(f"{same} other numbers show no change")
    if html is not None:
        write_atomically(html, comparison_to_html(*pair, found), AuditError)
        click.echo(str(html))
    if fail_on_worse and found.worse:
        ctx.exit(FOUND)


@command.command()
@click.argument("audit", type=_FILE)
@click.option("--out", type=_OUT, help="Folder to write into.  [default: beside AUDIT]")
@click.option("--target", default="", metavar="NAME", help="Element for threats.json.")
def render(audit: Path, out: Path | None, target: str) -> None:
    """Write page, card and threats anew from AUDIT, an audit.json, such as an interrupted one."""
    from helpers.audit import schema

    folder = out or audit.parent
    report = schema.read(audit)
    _make(folder)
    _write_pages(folder, report, target)
    for name in ("html", "card", "threats"):
        click.echo(str(folder / NAMES[name]))


@command.command("schema")
def show_schema() -> None:
    """Print the JSON schema of audit.json."""
    from helpers.audit.schema import schema_text

    click.echo(schema_text(), nl=False)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(
            f"{folder} cannot be made a folder: {error.strerror}; --out takes another one."
        ) from error


def _keep(folder: Path, report: dict[str, Any]) -> None:
    from helpers._files import write_atomically
    from helpers.audit.schema import dump

    write_atomically(folder / NAMES["json"], dump(report), AuditError)


def _read_back(folder: Path) -> dict[str, Any]:
    from helpers.audit.schema import read

    return read(folder / NAMES["json"])


def _write_pages(folder: Path, report: dict[str, Any], target: str) -> None:
    import json

    from helpers._files import write_atomically
    from helpers.audit.card import to_card
    from helpers.audit.report import to_html
    from helpers.audit.threat_scores import to_measurements
    from helpers.threats.measurement import to_json

    measurements = to_measurements(report, target)
    for name, text in (
        ("html", to_html(report, _beside(measurements))),
        ("card", to_card(report)),
        ("threats", json.dumps(to_json(measurements), indent=1) + "\n"),
    ):
        write_atomically(folder / NAMES[name], text, AuditError)


def _beside(measurements: Sequence[Measurement]) -> list[Beside]:
    """Return what the labs of the course measured of the same threats."""
    from helpers.audit.report import Beside
    from helpers.course.collecting import comparable
    from helpers.course.vocabulary import DEFENCES, QUANTITIES

    found = []
    for measured in measurements:
        quantity = QUANTITIES[measured.metric]
        others = tuple(
            (one.text, f"{one.subject}, defence: {DEFENCES[one.defence].title}, lab {lab.number}")
            for lab, one in comparable(measured.threat, measured.metric)
        )
        value = quantity.written(measured.value, (measured.low, measured.high))
        if others:
            found.append(Beside(quantity.meaning, value, others))
    return found


def _summary(report: dict[str, Any], folder: Path) -> None:
    from helpers.audit.report import findings_of, undone_of
    from helpers.audit.schema import clean

    if report["verdict"]["outcome"] == "refused":
        click.echo(clean(report["verdict"]["reason"]))
        click.echo(str(folder / NAMES["html"]))
        return
    for section in report["sections"]:
        click.echo(f"{section['status']:9} {section['title']}")
    for sections, reason in undone_of(report):
        click.echo(f"left out  {', '.join(s['title'] for s in sections)}: {clean(reason)}")
    for _, finding in findings_of(report):
        click.echo(f"{finding['severity']:9} {finding['title']}: {clean(finding['evidence'])}")
    click.echo(str(folder / NAMES["html"]))
