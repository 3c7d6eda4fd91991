"""``edgesec models``: networks that others trained, and fetching their weights."""

from __future__ import annotations

import click

COCO = "coco_ssd"


@click.group()
def command() -> None:
    """List the networks that others trained, and fetch their weights."""


@command.command("list")
def list_models() -> None:
    """Show every network: what it is, its size, its terms, whether it is here."""
    from helpers.robustness.detection import coco

    click.secho(COCO, bold=True, nl=False)
    click.echo("  SSDLite-MobileNetV2, a detector of 90 kinds of objects at 300 x 300 pixels")
    click.echo(
        "  trained   on the photographs of COCO; the model coco-ssd of TensorFlow.js, float32"
    )
    click.echo(f"  licence   {coco.LICENCE}, {coco.FILE.size / 1e6:.0f} MB to download")
    click.echo(f"  here      {coco.cached_file() if coco.is_here() else 'not yet'}")


@command.command("fetch")
@click.argument("name", type=click.Choice([COCO]))
def fetch(name: str) -> None:
    """Fetch the weights of NAME into the cache, verified; nothing is fetched twice."""
    from helpers.robustness.detection import coco

    path = coco.fetch()
    click.echo(f"{name} is in {path} ({path.stat().st_size / 1e6:.0f} MB).")
