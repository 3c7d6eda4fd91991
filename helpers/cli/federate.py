"""``edgesec federate``: a consortium as real processes over mutual TLS, and its certificates."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers._text import printable
from helpers.cli._signals import ended_by_signals

if TYPE_CHECKING:
    from helpers.federated.deployment.consortium import Consortium
    from helpers.federated.deployment.layout import Layout

DEFAULT_FOLDER = "consortium"
_HELP = {"help_option_names": ["-h", "--help"]}
_folder = click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=DEFAULT_FOLDER,
    show_default=True, help="Folder of the consortium.",
)  # fmt: skip


@click.group(name="federate", context_settings=_HELP)
def command() -> None:
    """Train a model across hospitals as separate processes over mutual TLS."""


@command.command()
@_folder
@click.option(
    "--clients",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Number of hospitals.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of rounds in total.",
)
@click.option(
    "--data",
    type=click.Choice(["breast_cancer", "mnist"]),
    default="breast_cancer",
    show_default=True,
    help="What the hospitals hold.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Decides the split, the batches and the first weights.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    help="Seconds that a round waits for answers.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address on which the gateway listens."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of the gateway; 0 takes a free one.",
)
@click.option(
    "--server-name",
    "server_names",
    multiple=True,
    help="Name under which hospitals reach the server; may be repeated.",
)
@click.option(
    "--restart/--no-restart", default=True, show_default=True, help="Restart a process that dies."
)
def up(folder: Path, restart: bool, server_names: tuple[str, ...], **settings: Any) -> None:
    """Found a consortium on this machine, or continue one, and train.

    Ctrl-C ends every process; the same command continues after the last finished round.
    """
    from helpers.federated.deployment import Consortium

    if (folder / "consortium.json").exists():
        given = click.get_current_context().get_parameter_source
        settings = {k: v for k, v in settings.items() if given(k).name == "COMMANDLINE"}  # type: ignore[union-attr]
    elif server_names:
        settings["server_names"] = server_names
    with ended_by_signals():
        try:
            consortium = Consortium(folder, **settings)
            if consortium.is_finished:
                _show_result(consortium)
                click.echo("All rounds were done before; --rounds asks for more.")
                return
            with consortium:
                click.echo(f"Consortium in {consortium.layout.root}")
                click.echo(f"Gateway at {consortium.address} (mutual TLS 1.3); Ctrl-C stops all.\n")
                click.echo(consortium.commands() + "\n")
                _follow(consortium, restart)
        except KeyboardInterrupt:
            click.echo("\nStopped. The same command continues after the last finished round.")
            sys.exit(130)
    _show_result(consortium)


def _follow(consortium: Consortium, restart: bool) -> None:
    """Print what happens until all rounds are done."""
    from helpers.federated.deployment.errors import DeploymentError

    shown, first = len(consortium.events()), consortium.round_number
    while True:
        finished = consortium.is_finished
        events = consortium.events()
        for event in events[shown:]:
            click.echo(_line(event, consortium.settings["rounds"]))
        shown = len(events)
        if finished:
            return
        for name in consortium.tend() if restart else []:
            click.secho(f"{name} had ended: started again", fg="yellow")
        if not restart and consortium.status().phase == "failed":
            raise DeploymentError(f"the server ended:\n{consortium.logs('serverapp', 10)}")
        failed = [event for event in events if event["event"] == "run started"]
        if restart and len(failed) > 20 and consortium.round_number == first:
            raise DeploymentError(f"the server keeps ending:\n{consortium.logs('serverapp', 10)}")
        time.sleep(0.2)


def _line(event: dict[str, Any], rounds: int) -> str:
    kind, stamp = event["event"], time.strftime("%H:%M:%S", time.localtime(event["time"]))
    if kind == "round done":
        text = (
            f"round {event['round']} of {rounds}: {len(event['clients'])} updates, "
            f"test accuracy {event['test_accuracy']:.3f}, {event['seconds']:.1f} s"
        )
    else:
        details = {k: v for k, v in event.items() if k not in ("time", "event")}
        text = kind + "".join(f", {key} {value}" for key, value in details.items())
    return f"{stamp}  {printable(text)}"  # names and reasons may come from a hostile node


def _show_result(consortium: Consortium) -> None:
    layout = consortium.layout
    records = consortium.history().records
    click.echo(f"\n{len(records)} rounds, test accuracy {records[-1].test_accuracy:.3f}")
    click.echo(f"weights  {layout.server / 'final_weights.npz'}")
    click.echo(f"history  {layout.history}")
    click.echo(f"logs     {layout.logs}")


@command.command()
@_folder
def status(folder: Path) -> None:
    """Show how far the training is and which processes run."""
    from helpers.federated.deployment.layout import read_json
    from helpers.federated.deployment.reports import SERVER_MODULES, read_status, supervisor

    layout = _existing(folder)
    holder = supervisor(layout)
    states = {}
    for name in (*SERVER_MODULES, *layout.read_settings()["hospitals"]):
        state = read_json(layout.state(name))
        states[name] = "running" if holder and state and _exists(state["pid"]) else "ended"
    click.echo(read_status(layout, states))
    click.echo(f"  run by process {holder}" if holder else "  nobody runs it")


@command.command()
@_folder
def stop(folder: Path) -> None:
    """End the processes of a consortium that another terminal started."""
    from helpers.federated.deployment.reports import supervisor

    layout = _existing(folder)
    holder = supervisor(layout)
    if holder is None:
        click.echo("Nothing is running.")
        return
    os.kill(holder, signal.SIGTERM)
    for _ in range(300):
        if supervisor(layout) is None:
            click.echo("Stopped.")
            return
        time.sleep(0.1)
    click.secho(f"Process {holder} does not end.", fg="red", err=True)
    sys.exit(1)


@command.command()
@click.argument("name")
@_folder
@click.option("--lines", type=click.IntRange(1), default=40, show_default=True)
def logs(name: str, folder: Path, lines: int) -> None:
    """Show the end of a log: superlink, gateway, serverapp, or a hospital."""
    from helpers.federated.deployment.reports import read_log

    text = click.unstyle(read_log(_existing(folder), name, lines))  # Flower writes in colour
    click.echo("\n".join(printable(line.expandtabs()) for line in text.splitlines()))


@command.group()
def ca() -> None:
    """The consortium's certificate authority."""


_ca_folder = click.argument("folder", type=click.Path(path_type=Path))


@ca.command()
@_ca_folder
@click.option("--name", default="consortium", show_default=True)
@click.option("--days", type=float, default=365, show_default=True, help="Validity of the root.")
def init(folder: Path, name: str, days: float) -> None:
    """Make a root key and certificate in FOLDER."""
    from helpers.federated.deployment import CertificateAuthority

    authority = CertificateAuthority.create(folder, name, days)
    click.echo(f"root certificate  {authority.root_path}  (give it to every host)")
    click.echo(f"root key          {authority.folder / 'root.key'}  (keep it off line)")


@ca.command()
@_ca_folder
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for the key and the certificate.",
)
@click.option("--server", is_flag=True, help="A certificate for the server, not for a hospital.")
@click.option("--host", "hosts", multiple=True, help="Name or address of the server.")
@click.option("--days", type=float, default=7, show_default=True, help="Validity.")
def issue(
    folder: Path, name: str, out: Path, server: bool, hosts: tuple[str, ...], days: float
) -> None:
    """Make a key and a certificate for NAME; a hospital also gets the key of its node."""
    from helpers.federated.deployment import CertificateAuthority
    from helpers.federated.deployment.founding import make_node_key

    authority = CertificateAuthority.open(folder)
    where = hosts or ("localhost", "127.0.0.1")
    identity = authority.issue(name, "server" if server else "client", out, hosts=where, days=days)
    click.echo(f"certificate  {identity.certificate}")
    click.echo(f"key          {identity.key}")
    if not server:
        make_node_key(out)
        click.echo(f"node key     {out / 'node.key'}  (register {out / 'node.pub'} at the server)")


@ca.command()
@_ca_folder
@click.argument("who", metavar="NAME_OR_SERIAL")
def revoke(folder: Path, who: str) -> None:
    """Put a host's certificates on the revocation list."""
    from helpers.federated.deployment import CertificateAuthority

    authority = CertificateAuthority.open(folder)
    for line in authority.revoke(who):
        click.echo(f"revoked {line.name} ({line.serial})")
    click.echo(f"Copy {authority.crl_path} to the server's folder: the gateway takes it at once.")


@ca.command()
@_ca_folder
def show(folder: Path) -> None:
    """List everything the authority signed."""
    from helpers.federated.deployment import CertificateAuthority

    for line in CertificateAuthority.open(folder).issued():
        state = "revoked" if line.revoked_at else "expired" if line.expired else "in force"
        click.echo(
            f"{line.name:<16} {line.kind:<7} {state:<9} until {line.not_after}  {line.serial}"
        )


def _existing(folder: Path) -> Layout:
    from helpers.federated.deployment.layout import Layout

    layout = Layout(folder)
    layout.read_settings()
    return layout


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
