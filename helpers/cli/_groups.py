"""Groups of commands whose most usual one needs no name."""

from __future__ import annotations

import click


class RunByDefault(click.Group):
    """A group in which ``run`` may be left out: ``audit model.tflite`` is ``audit run``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)
