"""``edgesec benchmarks``: which records are out of date, and one run that refreshes them."""

from __future__ import annotations

import click

from helpers.errors import CourseError


@click.group(name="benchmarks", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """See which records of benchmarks/ are out of date, and measure those again."""


@command.command("list")
def list_command() -> None:
    """List every benchmark: when it was measured, what was changed since, what it lacks."""
    from helpers.course import address, benchmark_runs

    for benchmark in benchmark_runs.survey(address.find_root()):
        measured = f"{benchmark.measured:%Y-%m-%d}" if benchmark.measured else ""
        click.echo(f"{benchmark.name:24}{measured:12}{benchmark.state}")


@command.command()
@click.argument("names", nargs=-1)
@click.option("--quick", is_flag=True, help="A small pass over every part; records nothing.")
@click.option("--all", "everything", is_flag=True, help="Also what is up to date.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="After these a benchmark made of parts starts no other.",
)
def run(names: tuple[str, ...], quick: bool, everything: bool, minutes: float) -> None:
    """Measure again what is out of date, or of that the benchmarks NAMES.

    A benchmark whose peers are not installed is left alone, and how to install them is said. A
    failure does not stop the rest; a run that was stopped goes on where it was.
    """
    from helpers.course import address, benchmark_runs

    root = address.find_root()
    outcomes = benchmark_runs.run(
        root,
        benchmark_runs.survey(root, names),
        quick=quick,
        everything=everything,
        minutes=minutes,
        say=click.echo,
    )
    click.echo("")
    for outcome in outcomes:
        colour = {"failed": "red", "skipped": "yellow"}.get(outcome.status)
        reason = outcome.reason.partition("\n")[0]
        click.secho(f"{outcome.name:24}{outcome.status:12}{reason}", fg=colour)
    if failed := [outcome.name for outcome in outcomes if outcome.status == "failed"]:
        raise CourseError(f"{len(failed)} benchmarks failed: {', '.join(failed)}")
