"""``edgesec grade``: notebooks in, a gradebook with feedback out."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpers._text import printable
from helpers.cli._groups import RunByDefault
from helpers.errors import CourseError

if TYPE_CHECKING:
    from helpers.course.grading.marks import Marked
    from helpers.course.grading.records import Record
    from helpers.course.grading.run import Run
    from helpers.sandbox import Layers

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="grades",
    show_default=True,
    help="Folder for marks and feedback; the same folder goes on with an earlier run.",
)


@click.group(name="grade", cls=RunByDefault, context_settings=_HELP)
def command() -> None:
    """Grade notebooks in a sandbox: `edgesec grade SUBMISSIONS --lab 03 --out grades`.

    `run` may be left out, as here; `edgesec grade run --help` explains it. Then read the written
    answers with `review`, and see with `similar` whose code is unusually alike.
    """


@command.command(context_settings=_HELP)
@click.argument("source", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--lab", help="Name or number of the lab, as in `edgesec labs list`.")
@_out
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
def run(
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
    """Grade the notebooks in SOURCE, a folder or zip as a learning platform exports it.

    \b
    OUT receives
      grades.csv      one row a learner: points for each task and memo, total, status, notes
      nbgrader.csv    the same in the columns of `nbgrader export`
      canvas.csv, moodle.csv   to import, where the files are named as those platforms do
      feedback/       one page a learner: their answer, what was expected, why not
      summary.html    how the class did, and which submissions to look at
      records/        what each submission gave; a run that is killed goes on from there

    Marks given with `review` are in all of these when the same command runs again; a memo that
    nobody has read is `pending`, and counts as nothing anywhere.

    Each notebook runs in a sandbox: no network, no file but its own, no process but its own, a
    limit on everything. The checks stay outside. --check-sandbox shows what holds here.
    """  # noqa: D301
    if check_sandbox:
        _check_sandbox()
        return
    if source is None or lab is None:
        raise click.UsageError("give SOURCE and --lab, or --check-sandbox")
    from helpers.course.address import find_root
    from helpers.course.grading import lab as labs
    from helpers.course.grading.examine import Rules
    from helpers.course.grading.run import Run, seed_of
    from helpers.sandbox import Limits

    layers = _layers(unsafe)
    graded = labs.load(find_root(), lab, private)
    rules = Rules(
        seed=seed_of(out, graded.spec.name, seed),
        cell_seconds=cell_timeout,
        whole=whole,
        limits=Limits(seconds=timeout),
        layers=layers,
    )
    _grade(Run(graded, source, out, rules, jobs=jobs, force=force, progress=progress))


def _grade(job: Run) -> None:
    """Grade, write everything, and say how it went; what is broken off can be continued."""
    from helpers.course.grading.marks import marked
    from helpers.course.grading.pages import write_pages
    from helpers.course.grading.run import grade
    from helpers.course.grading.tables import write_tables

    out = job.out
    try:
        found = grade(job)
        memos = marked(out, job.lab.spec, found)
        write_tables(out, job.lab, found, memos)
        summary = write_pages(out, job.lab, found, memos)
    except KeyboardInterrupt:
        click.echo(f"\nStopped. The same command goes on from what is in {out}.", err=True)
        os._exit(130)  # the kernel ends the sandboxes with us
    except OSError as error:  # as of a full disk
        raise CourseError(
            f"{error.filename or out}: {error.strerror}. When that is mended, the same command "
            f"goes on from what is in {out}"
        ) from None
    _say(found, memos, summary)


@command.command(context_settings=_HELP)
@_out
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one.")
@click.option("--anonymous", is_flag=True, help="Show no names, and mix the order.")
@click.option(
    "--export", "to_csv", type=click.Path(dir_okay=False, path_type=Path), help="Write a CSV."
)
@click.option(
    "--import",
    "from_csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read marks back from such a CSV.",
)
def review(
    out: Path, port: int, anonymous: bool, to_csv: Path | None, from_csv: Path | None
) -> None:
    """Read the written answers, one at a time beside the rubric, and mark them by keyboard.

    Opens a page on this machine alone. Each mark is in OUT/marks.sqlite3 at once, and when the
    page ends (Ctrl-C) OUT/memos.csv holds them all. --export and --import do the same in a
    spreadsheet: 0 not met, 1 in part, 2 met. The next `edgesec grade` puts them into the tables
    and the feedback; what it has graded before it does not run again.
    """
    from helpers.course import checks
    from helpers.course.grading.marks import Marks, export, queue, restore
    from helpers.course.grading.records import load_all
    from helpers.course.grading.review import ReviewServer
    from helpers.course.grading.run import lab_of

    answers = queue(checks.load(lab_of(out)), load_all(out), anonymous)
    marks = Marks(out / "marks.sqlite3")
    if from_csv:
        click.echo(f"{restore(from_csv, answers, marks)} marks read from {from_csv}")
    if to_csv:
        export(to_csv, answers, marks)
        click.echo(f"{len(answers)} answers written to {to_csv}")
    if from_csv or to_csv:
        return
    with ReviewServer(answers, marks, port) as server:
        click.echo(f"{len(answers)} answers, {server.complete()} with all marks. Open\n")
        click.echo(f"  {server.address}\n\nCtrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    export(out / "memos.csv", answers, marks)
    click.echo(f"\nThe marks are in {out / 'memos.csv'}")


@command.command(context_settings=_HELP)
@_out
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="Pairs to show."
)
def similar(out: Path, top: int) -> None:
    """List the pairs of submissions that share unusual code. It is for looking, not a verdict.

    What the lab's notebook gives is left out, and so is the naming of variables. Two learners may
    well write the same short function; look at the code before you think anything.
    """
    from helpers.course.address import find_root
    from helpers.course.grading.lab import load
    from helpers.course.grading.records import load_all
    from helpers.course.grading.run import lab_of
    from helpers.course.grading.similarity import similar_pairs, write_pairs

    pairs = similar_pairs(load_all(out), load(find_root(), lab_of(out)).given.code)
    path = write_pairs(out, pairs)
    for pair in pairs[:top]:
        click.echo(f"{pair.similarity:.2f}  {printable(pair.one)}  {printable(pair.other)}")
    click.echo(f"{len(pairs)} pairs, each with the code it shares: {path}")


def _say(found: list[Record], memos: Marked, summary: Path) -> None:
    from helpers.course.grading.marks import pending

    total = sum(record.points for record in found)
    look = sum(bool(record.notes) or record.state != "graded" for record in found)
    to_read = pending(memos)
    click.echo(
        f"{len(found)} submissions, mean {total / len(found):.1f} of {found[0].max_points} points; "
        f"{look} to look at: {summary}"
    )
    if to_read:
        click.echo(f"memos to read: {to_read}; edgesec grade review --out {summary.parent}")


def _layers(unsafe: bool) -> Layers:
    from helpers.sandbox.probes import available, refuse_missing

    layers, problems = available()
    if not unsafe:
        refuse_missing(
            problems,
            "Grade on a Linux machine or virtual machine where `edgesec grade --check-sandbox` "
            "holds. --unsafe runs strangers' code without these layers",
        )
    for name, problem in problems.items():
        click.secho(f"without {name}: {problem}", fg="yellow", err=True)
    return layers


def _check_sandbox() -> None:
    from helpers.sandbox import Limits, cgroup
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
    why = cgroup.problem(Limits())
    how = f"no, {why}; their sum is watched" if why else "yes"
    click.echo(f"memory and processes capped by the kernel as a group (cgroup v2): {how}")
    click.echo("every layer holds")
