"""``edgesec results``: what the labs measured, listed, collected, refreshed and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from helpers.errors import CourseError

if TYPE_CHECKING:
    from helpers.course.catalogue import LabFiles


@click.group(name="results", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """What the labs measured: list, collect, refresh and compare.

    The course's own record is of its solutions, in full, with seed 0. A learner's measurements are
    in artefacts/<lab>/measurements.json.
    """


@command.command(name="list")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--lab", default="", help="Only this lab, by name or number.")
@click.option("--attack", default="", help="Only this attack, such as evasion.")
@click.option("--defence", default="", help="Only this defence, such as quantisation.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with every field.")
def list_results(
    paths: tuple[Path, ...], lab: str, attack: str, defence: str, as_csv: bool
) -> None:
    """List measurements: the course's record, or those found in or below PATHS."""
    from helpers.course import collecting, measurements

    found = collecting.in_folders(paths) if paths else measurements.record()
    rows = collecting.select(found, lab=lab, attack=attack, defence=defence)
    click.echo(collecting.to_csv(rows) if as_csv else collecting.to_text(rows), nl=not as_csv)


@command.command()
@click.argument("names", nargs=-1)
@click.option(
    "--jobs",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="Labs at a time; beside another lab, the times that one measures are too long.",
)
@click.option("--force", is_flag=True, help="Run again what build/results holds already.")
@click.option("--new-settings", is_flag=True, help="Take measurements made in another setting.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def refresh(
    names: tuple[str, ...], jobs: int, force: bool, new_settings: bool, progress: bool
) -> None:
    """Run the solutions of labs NAMES in full (all: half an hour), and renew the record.

    Nothing is written where a run measured in another setting than the record, such as on
    synthetic data because the downloaded were not there.
    """
    from helpers.course import collecting, measurements

    found = collecting.of_runs(*_ran(names, jobs, progress, force))
    known = {one.lab: one for one in measurements.record()}
    pairs = [(known[one.lab], one) for one in found if one.lab in known]
    lines = [line for pair in pairs for line in collecting.other_settings(*pair)]
    if lines and not new_settings:
        _refuse(
            lines,
            "measured in another setting; nothing is written. Fetch the data that the record "
            "names (edgesec data fetch) and run again with --force, or take the new settings with "
            "--new-settings",
        )
    for path in collecting.keep(found):
        click.echo(f"wrote {path.name}")


@command.command()
@click.argument("names", nargs=-1)
@click.option(
    "--jobs", type=click.IntRange(1, 2), default=2, show_default=True, help="Labs at a time."
)
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def compare(names: tuple[str, ...], jobs: int, progress: bool) -> None:
    """Run the solutions of labs NAMES in full, and say where they differ from the record."""
    from helpers.course import collecting, measurements

    lines = []
    for found in collecting.of_runs(*_ran(names, jobs, progress)):
        lines += collecting.differences(measurements.of_lab(found.lab), found)
    if lines:
        _refuse(lines, "differ from the record; renew it: edgesec results refresh")
    click.echo("every measurement is as recorded")


@command.command()
def schema() -> None:
    """Print the JSON schema of measurements."""
    from helpers.course.measurements import schema_text

    click.echo(schema_text(), nl=False)


def _refuse(lines: list[str], why: str) -> NoReturn:
    for line in lines:
        click.secho(line, fg="red", err=True)
    raise CourseError(f"{len(lines)} {why}")


def _ran(
    names: tuple[str, ...], jobs: int, progress: bool, force: bool = False
) -> tuple[Path, list[LabFiles]]:
    from helpers.course import catalogue, run
    from helpers.course.address import find_root

    root = find_root()
    labs = catalogue.files(root, names)
    settings = run.Settings(
        root / "build" / "results", "full", jobs=jobs, progress=progress, force=force
    )
    run.run_labs(root, labs, ["solution"], settings)
    return settings.build, labs
