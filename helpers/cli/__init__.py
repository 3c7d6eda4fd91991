"""The console script ``edgesec``: one module a subcommand, loaded only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from helpers import __version__
from helpers._imports import spare_iri_grammar
from helpers.errors import EdgesecError

# subcommand -> (module that defines it as `command`, one line of help)
COMMANDS = {
    "audit": ("helpers.cli.audit", "Audit a model file of your own in a sandbox; report."),
    "assess": ("helpers.cli.assess", "Attack a .tflite classifier; report what it withstands."),
    "labs": ("helpers.cli.labs", "List, generate, run and check the labs."),
    "results": ("helpers.cli.results", "What the labs measured: list, refresh, compare."),
    "data": ("helpers.cli.data", "List the datasets and fetch the full ones."),
    "book": ("helpers.cli.book", "Build the book, print it, pack it, open it."),
    "benchmarks": ("helpers.cli.benchmarks", "See which benchmarks are out of date; run them."),
    "threats": ("helpers.cli.threats", "Model a system, derive its threats, and gate on them."),
    "certificate": (
        "helpers.cli.certificate",
        "Certify a model file, verify a certificate, draw anew.",
    ),
    "models": ("helpers.cli.models", "List networks that others trained; fetch their weights."),
    "edge": ("helpers.cli.edge", "Convert, run, measure, seal and sign a model for a device."),
    "federate": ("helpers.cli.federate", "Run a consortium as real processes over mutual TLS."),
    "interview": ("helpers.cli.interview", "Practise for an interview: mock, drill, review."),
    "grade": ("helpers.cli.grade", "Grade a folder of notebooks in a sandbox, with feedback."),
}


class _LazyGroup(click.Group):
    """A group whose help costs no import: the module of a subcommand loads when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgesec")
def _group() -> None:
    """Securing machine learning at the edge: the course's labs, book and tools."""


def main(**kwargs: Any) -> None:
    """Run ``edgesec``; an :class:`EdgesecError` becomes one line on stderr and exit code 1."""
    spare_iri_grammar()
    try:
        _group(**kwargs)
    except EdgesecError as error:
        click.secho(f"edgesec: {error}", fg="red", err=True)
        sys.exit(1)
