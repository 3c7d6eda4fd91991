"""``edgesec grade``: notebooks in, a gradebook with feedback out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpers.errors import CourseError, SandboxError

if TYPE_CHECKING:
    from helpers.course.grading.records import Record
    from helpers.sandbox import Layers


@click.command(
    name="grade", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--lab", help="Name or number of the lab, as in `edgesec labs list`.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="grades",
    show_default=True,
    help="Folder for marks and feedback; the same folder goes on with an earlier run.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Decides the hidden inputs.  [default: drawn once, then kept in OUT/run.json]",
)
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=1, show_default=True, help="Notebooks at a time."
)
@click.option(
    "--private",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder outside the repository with your own <lab_name>.py: SEEDS and CHECKS.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Time one submission may take.",
)
@click.option(
    "--cell-timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time one cell may take.",
)
@click.option(
    "--whole",
    is_flag=True,
    help="Run every cell, not only those on which an answer rests.",
)
@click.option("--force", is_flag=True, help="Grade again what has been graded.")
@click.option("--unsafe", is_flag=True, help="Run although a layer of the sandbox is missing.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@click.option(
    "--check-sandbox", is_flag=True, help="Try to break the sandbox of this machine, and say how."
)
def command(
    source: Path | None,
    lab: str | None,
    out: Path,
    seed: int | None,
    jobs: int,
    private: Path | None,
    timeout: float,
    cell_timeout: float,
    whole: bool,
    force: bool,
    unsafe: bool,
    progress: bool,
    check_sandbox: bool,
) -> None:
    r"""Grade the notebooks in SOURCE, a folder or zip as a learning platform exports it.

    \b
    OUT receives
      grades.csv      one row a learner: points for each task, total, status, minutes, notes
      nbgrader.csv    the same in the columns of `nbgrader export`
      canvas.csv, moodle.csv   to import, where the files are named as those platforms do
      feedback/       one page a learner: their answer, what was expected, why not
      summary.html    how the class did, and which submissions to look at
      records/        what each submission gave; a run that is killed goes on from there

    Each notebook runs in a sandbox: no network, no file but its own, no process but its own, a
    limit on everything. The checks stay outside. --check-sandbox shows what holds here.
    """
    if check_sandbox:
        _check_sandbox()
        return
    if source is None or lab is None:
        raise click.UsageError("give SOURCE and --lab, or --check-sandbox")
    from helpers.course.address import find_root
    from helpers.course.grading import lab as labs
    from helpers.course.grading.examine import Rules
    from helpers.course.grading.pages import write_pages
    from helpers.course.grading.run import Run, grade, seed_of
    from helpers.course.grading.tables import write_tables
    from helpers.sandbox import Limits

    layers = _layers(unsafe)
    graded = labs.load(find_root(), lab, private)
    rules = Rules(
        seed=seed_of(out, seed),
        cell_seconds=cell_timeout,
        whole=whole,
        limits=Limits(seconds=timeout),
        layers=layers,
    )
    run = Run(graded, source, out, rules, jobs=jobs, force=force, progress=progress)
    try:
        found = grade(run)
    except KeyboardInterrupt:
        click.echo(f"\nStopped. The same command goes on from what is in {out}.", err=True)
        os._exit(130)  # the kernel ends the sandboxes with us
    write_tables(out, graded, found)
    summary = write_pages(out, graded, found)
    _say(found, summary)


def _say(found: list[Record], summary: Path) -> None:
    total = sum(record.points for record in found)
    look = sum(bool(record.notes) or record.state != "graded" for record in found)
    click.echo(
        f"{len(found)} submissions, mean {total / len(found):.1f} of {found[0].max_points} points; "
        f"{look} to look at: {summary}"
    )


def _layers(unsafe: bool) -> Layers:
    from helpers.sandbox.probes import available

    layers, problems = available()
    if problems and not unsafe:
        reasons = "; ".join(f"{name} ({problem})" for name, problem in problems.items())
        raise SandboxError(
            f"this machine cannot put up every layer of the sandbox: {reasons}. Grade on a Linux "
            "machine or virtual machine where `edgesec grade --check-sandbox` holds. --unsafe "
            "runs strangers' code without these layers"
        )
    for name, problem in problems.items():
        click.secho(f"without {name}: {problem}", fg="yellow", err=True)
    return layers


def _check_sandbox() -> None:
    from helpers.sandbox.probes import available, try_to_break

    layers, problems = available()
    for name, problem in problems.items():
        click.secho(f"{name}: not on this machine ({problem})", fg="red")
    broken = 0
    for finding in try_to_break(layers):
        broken += not finding.held
        word = "held  " if finding.held else "BROKEN"
        note = f": {finding.note}" if finding.note else ""
        colour = "green" if finding.held else "red"
        click.secho(f"{word}  {finding.layer:<10}  {finding.attempt}{note}", fg=colour)
    if broken or problems:
        raise CourseError("the sandbox does not hold here; grading refuses without --unsafe")
    click.echo("every layer holds")
