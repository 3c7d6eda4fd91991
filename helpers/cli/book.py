"""``edgesec book``: build the book, print it, pack it, and read it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import click

from helpers.errors import CourseError


@click.group(name="book", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Build the book, print it as a PDF, pack it for use without a network, open it."""


@command.command("build")
@click.option(
    "--profile",
    type=click.Choice(["full", "fast"]),
    default="full",
    show_default=True,
    help="Profile the labs run with; the published book shows full.",
)
@click.option("--progress/--no-progress", default=True, help="Show progress bars.")
def build_command(profile: Literal["full", "fast"], progress: bool) -> None:
    """Build the book, labs and chapters executed, into build/book/html."""
    from helpers.course import address, book, collecting

    root = address.find_root()
    index = book.build(root, profile=profile, progress=progress)
    if profile == "full":
        for line in collecting.moved_since(root, book.Layout(root / "build" / "book").labs):
            click.secho(f"not as in the record: {line}", fg="yellow", err=True)
    click.echo(f"The book is built: {index}")
    click.echo(f"Open {index.as_uri()}  or serve it:  edgesec book serve")


@command.command()
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def pdf(progress: bool) -> None:
    """Print the built book to build/book/book.pdf (needs Chromium).

    The reference of the package is left out but for its first page.
    """
    from helpers.course import address, book_pdf

    path, pages = book_pdf.write(address.find_root(), progress=progress)
    click.echo(f"{path}: {pages} pages, {path.stat().st_size / 1e6:.1f} MB")


@command.command()
@click.option("--wheels", is_flag=True, help="Put every package in, for this platform (600 MB).")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The zip to write.")
@click.option("--progress/--no-progress", default=True, help="Show progress bars.")
def bundle(wheels: bool, out: Path | None, progress: bool) -> None:
    """Pack the built book, notebooks and package in one zip, for use without a network."""
    from helpers.course import address, bundle

    path = bundle.write(address.find_root(), out, wheels=wheels, progress=progress)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.0f} MB; README.txt in it says how to begin")


@command.command()
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def links(progress: bool) -> None:
    """Check every external link of the built book (needs the network)."""
    from helpers.course import address
    from helpers.course.links import broken_links

    broken = broken_links(address.find_root(), progress=progress)
    for line in broken:
        click.secho(line, fg="red", err=True)
    if broken:
        raise CourseError(f"{len(broken)} external links lead nowhere, see above")
    click.echo("every external link leads somewhere")


@command.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
def serve(port: int) -> None:
    """Serve the built book on this machine until Ctrl-C."""
    from helpers.course import address, book

    with book.serving(book.built(address.find_root()).html, port) as url:
        click.echo(f"The book is at {url}  (Ctrl-C ends)")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            click.echo("")
