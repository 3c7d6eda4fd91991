"""``edgesec labs``: list, generate, run and check the labs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.errors import CourseError

if TYPE_CHECKING:
    from helpers.course.results import LabResult, Variant
    from helpers.course.run import Settings


def _root() -> Path:
    from helpers.course.address import find_root

    return find_root()


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("names", nargs=-1),
        click.option("--jobs", type=click.IntRange(1, 2), default=2, show_default=True,
                     help="Labs at a time."),
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
                     help="Time one lab may take.  [default: 600 fast, 3600 full]"),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                     help="Seed passed to every lab."),
        click.option("--force", is_flag=True,
                     help="Run labs again although nothing they depend on has changed."),
        click.option("--progress/--no-progress", default=True, help="Show a progress bar."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(name="labs", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, generate, run and check the labs.

    NAMES are names (train-across-devices) or numbers (1) of labs; none means all of them.
    """


@command.command(name="list")
def list_labs() -> None:
    """List the labs: number, name, title, expected time, tasks and points."""
    from helpers.course.catalogue import entries

    for lab in entries(_root()):
        click.echo(
            f"{lab.number:02d}  {lab.name}  {lab.title}  "
            f"({lab.minutes} min, {lab.tasks} tasks, {lab.points} points)"
        )


@command.command()
@click.argument("title")
@click.option("--number", type=click.IntRange(1, 99), help="Its number.  [default: the next]")
@click.option(
    "--part",
    metavar="CAPTION",
    help="Part of the book at whose end it comes.  [default: that of the last lab]",
)
def new(title: str, number: int | None, part: str | None) -> None:
    """Begin a lab called TITLE: a small one that passes every gate, to be rewritten.

    Writes its source, its checks and its notebook, and lists it in the book.
    """
    from helpers.course import derived, scaffold
    from helpers.course.generate import generate as generate_all

    root = _root()
    written = scaffold.new_lab(root, title, number, part)
    for path in written + generate_all(root) + derived.write(root):
        click.echo(f"wrote {path.relative_to(root)}")
    name = scaffold.name_of(title)
    click.echo(f"now: edgesec labs check {name}, then edgesec results refresh {name}")


@command.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a notebook would change.")
def generate(check: bool) -> None:
    """Write labs/*.ipynb from solutions/*.py, and what README.md and CITATION.cff repeat."""
    from helpers.course import catalogue, derived, gates
    from helpers.course.generate import generate as generate_all

    root = _root()
    if check:
        problems = [p for lab in catalogue.files(root) for p in gates.up_to_date(lab, root)]
        _fail_on(problems + derived.problems(root))
        click.echo("everything generated is up to date")
        return
    changed = generate_all(root) + derived.write(root)
    for path in changed:
        click.echo(f"wrote {path.relative_to(root)}")
    if not changed:
        click.echo("everything generated is up to date")


@command.command()
@_run_options
@click.option(
    "--variant",
    type=click.Choice(["learner", "solution", "both"]),
    default="learner",
    show_default=True,
    help="The learner's unsolved notebook, the solution, or both.",
)
@click.option(
    "--profile",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help="Sizes: what tests use, or what a learner gets.",
)
def run(names: tuple[str, ...], variant: str, profile: str, **options: Any) -> None:
    """Run labs under papermill into build/labs/<variant>/, with a summary.

    A lab whose notebook, helpers, lock, profile and seed are unchanged is kept from the last run.
    """
    variants: list[Variant] = ["learner", "solution"]
    chosen = [item for item in variants if variant in (item, "both")]
    results = _run(names, chosen, profile=profile, **options)
    if any(result.problem for result in results):
        raise SystemExit(1)


@command.command()
@_run_options
def check(names: tuple[str, ...], **options: Any) -> None:
    """Hold labs to every gate, and run each unsolved (no points) and solved (all points)."""
    from helpers.course import collecting, gates

    problems = gates.all_problems(_root(), names)
    for result in _run(names, ["learner", "solution"], profile="fast", **options):
        judge = gates.earned_nothing if result.variant == "learner" else gates.earned_everything
        if result.status == "passed":
            problems += [f"{result.lab}: {problem}" for problem in judge(result.report)]
            problems += collecting.same_names(result.report, result.lab)
        else:
            problems.append(result.problem)
    _fail_on(problems)
    click.echo("every gate holds")


def _run(names: tuple[str, ...], variants: list[Variant], **options: Any) -> list[LabResult]:
    from helpers.course import catalogue, results
    from helpers.course.run import Settings, run_labs

    root = _root()
    labs = catalogue.files(root, names)
    if not labs:
        raise CourseError(f"there are no labs in {root / 'solutions'}")
    settings: Settings = Settings(build=root / "build" / "labs", **options)
    found = run_labs(root, labs, variants, settings)
    click.echo(results.table(found))
    return found


def _fail_on(problems: list[str]) -> None:
    if problems:
        for problem in problems:
            click.secho(problem, fg="red", err=True)
        raise CourseError(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, see above")
