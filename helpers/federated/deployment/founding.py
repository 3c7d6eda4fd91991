"""Found a consortium: write the folder that each host needs, with its keys and its data."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from helpers._files import take_lock
from helpers.federated.deployment.authority import (
    LEAF_DAYS,
    CertificateAuthority,
    now,
    subject_name,
    write_new,
    write_private,
)
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.hospitals import DatasetName, Hospitals, hospital_data
from helpers.federated.deployment.layout import Layout, write_json
from helpers.federated.robust.aggregator import RobustAggregator
from helpers.federated.task import LocalTraining, ServerOptimizer, Weighting
from helpers.federated.validation import require_positive, require_whole

LOOPBACK = ("localhost", "127.0.0.1")
# What says where a consortium runs, and not what it trains, may change.
_CHANGEABLE = ("host", "port", "deadline")
_MARK = ".founding"


@dataclass(frozen=True)
class Settings:
    """How a consortium trains and runs.

    Attributes
    ----------
    clients
        Number of hospitals.
    rounds
        Number of rounds in total.
    data
        Name of a dataset, or the hospitals' data themselves.
    hidden
        Widths of hidden layers; none is softmax regression.
    local, server, clients_per_round, weighting, aggregator, seed
        As in :class:`~helpers.federated.deployment.DenseTask`.
    deadline
        Seconds that a round waits for answers.
    quorum
        Fewest usable updates of a round; with fewer it is repeated. None is more than half of
        the clients of a round.
    max_message_bytes
        Largest message that a node may send; None is the model with a margin.
    host, port
        Where the gateway listens; port 0 takes a free one.
    server_names
        Names and addresses under which the hospitals reach the server, for its certificate; those
        of the machine itself are added.
    certificate_days
        Validity of the certificates.

    Raises
    ------
    TaskError, DeploymentError
        If a setting is out of its range, or a server's name cannot stand in a certificate.
    """

    clients: int = 4
    rounds: int = 5
    data: DatasetName | Hospitals = "breast_cancer"
    hidden: tuple[int, ...] = ()
    local: LocalTraining = field(default_factory=LocalTraining)
    server: ServerOptimizer = field(default_factory=ServerOptimizer.fedavg)
    clients_per_round: int | None = None
    weighting: Weighting = "examples"
    aggregator: RobustAggregator | None = None
    seed: int = 0
    deadline: float = 30.0
    quorum: int | None = None
    max_message_bytes: int | None = None
    host: str = "127.0.0.1"
    port: int = 0
    server_names: tuple[str, ...] = LOOPBACK
    certificate_days: float = LEAF_DAYS

    def __post_init__(self) -> None:
        require_whole("clients", self.clients, at_least=1)
        require_whole("rounds", self.rounds, at_least=1)
        require_positive("deadline", self.deadline)
        if self.quorum is not None:
            require_whole("quorum", self.quorum, at_least=1)
        # The gateway itself reaches the SuperLink under the names of the loopback interface.
        names = tuple(dict.fromkeys((*self.server_names, *LOOPBACK)))
        object.__setattr__(self, "server_names", names)
        for name in names:
            subject_name(name)


def found(folder: str | Path, settings: Settings) -> Layout:
    """Write the folders of a new consortium.

    Parameters
    ----------
    folder
        New or empty folder.
    settings
        What to train, and how.

    Returns
    -------
    Layout
        ``ca/`` stays with the consortium, ``server/`` goes to the server, ``hospital-N/`` to
        hospital N. No private key is in two of them.

    Raises
    ------
    DeploymentError
        If the folder holds a consortium already.
    TaskError
        If the settings do not fit the data.
    """
    layout = Layout(folder)
    if layout.settings.exists():
        raise DeploymentError(
            f"{layout.root} holds a consortium already: open it, or move it away."
        )
    hospitals, task = plan(settings)
    with _cleared_ground(layout):
        _write_folders(layout, settings, hospitals, task)
    return layout


def _write_folders(
    layout: Layout, settings: Settings, hospitals: Hospitals, task: DenseTask
) -> None:
    names = [f"hospital-{index + 1}" for index in range(len(hospitals.clients))]
    for path in (layout.server / "members", layout.run, layout.logs):
        path.mkdir(parents=True, exist_ok=True)
    authority = CertificateAuthority.create(layout.ca)
    days = settings.certificate_days
    authority.issue("server", "server", layout.server, hosts=settings.server_names, days=days)
    task.save(layout.server)
    np.savez(layout.server / "test.npz", x=hospitals.test.x, y=hospitals.test.y)
    members = []
    for index, (name, data) in enumerate(zip(names, hospitals.clients, strict=True)):
        folder = layout.hospital(name)
        enrol(layout, authority, name, days)
        task.save(folder)
        write_json(folder / "node.json", {"name": name, "client": index})
        np.savez(folder / "data.npz", x=data.x, y=data.y)
        members.append({"name": name, "client": index})
    write_json(layout.server / "members.json", members)
    publish_crl(layout)
    write_json(layout.settings, _plain(settings, task, names))


@contextmanager
def _cleared_ground(layout: Layout) -> Iterator[None]:
    """Make the folder, take it, and remove what a founding that was interrupted left in it."""
    mark = layout.root / _MARK
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        interrupted = mark.exists()
        lock = take_lock(mark)
    except OSError as error:
        raise DeploymentError(
            f"{layout.root} cannot be written to ({error.strerror}): choose another folder."
        ) from error
    if lock is None:
        raise DeploymentError(f"Another process founds a consortium in {layout.root}.")
    try:
        if layout.settings.exists():  # by another process, a moment ago
            raise DeploymentError(f"{layout.root} holds a consortium already: open it.")
        parts = [path for path in (layout.ca, layout.server) if path.exists()]
        if parts and not interrupted:
            mark.unlink()
            raise DeploymentError(
                f"{layout.root} holds {parts[0].name}/ of something else: use another folder."
            )
        for left in (*parts, *layout.root.glob("hospital-*")) if interrupted else ():
            shutil.rmtree(left)
        yield
        mark.unlink()
    finally:
        os.close(lock)


def plan(settings: Settings) -> tuple[Hospitals, DenseTask]:
    """Return the data of the hospitals and the task that they train together."""
    hospitals = settings.data
    if not isinstance(hospitals, Hospitals):
        hospitals = hospital_data(hospitals, settings.clients, settings.seed)
    task = DenseTask(
        layer_sizes=(hospitals.test.x.shape[1], *settings.hidden, hospitals.num_classes),
        num_examples=tuple(len(client) for client in hospitals.clients),
        local=settings.local,
        server=settings.server,
        clients_per_round=settings.clients_per_round,
        weighting=settings.weighting,
        seed=settings.seed,
        aggregator=settings.aggregator,
    )
    return hospitals, task


def enrol(layout: Layout, authority: CertificateAuthority, name: str, days: float) -> None:
    """Make a hospital's certificate and its node key, and register the latter at the server.

    Two keys: the one in the certificate opens the gateway, the other signs Flower's requests and
    the updates. The gateway insists that they belong together.
    """
    folder = layout.hospital(name)
    authority.issue(name, "client", folder, days=days)
    make_node_key(folder)
    public = serialization.load_ssh_public_key((folder / "node.pub").read_bytes())
    members = layout.server / "members"
    shutil.copyfile(folder / "node.pub", members / f"{name}.pub")
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_new(members / f"{name}.pem", pem)


def make_node_key(folder: Path) -> None:
    """Write ``node.key`` (0600) and ``node.pub`` in OpenSSH's format, which Flower reads."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_private(
        folder / "node.key",
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        ),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    write_new(folder / "node.pub", public)


def renew(layout: Layout) -> list[str]:
    """Replace certificates that expire within a day, and the revocation list; returns the names.

    Short lifetimes need this to run by itself. Revoked members stay out, and node keys stay: they
    are registered, and do not expire.
    """
    authority, renewed = CertificateAuthority.open(layout.ca), []
    settings = layout.read_settings()
    days, soon = settings["founded with"]["certificate_days"], now() + datetime.timedelta(days=1)
    latest = {line.name: line for line in authority.issued()}
    for name in ("server", *settings["hospitals"]):
        line = latest[name]
        if line.revoked_at or datetime.datetime.fromisoformat(line.not_after) > soon:
            continue
        server = name == "server"
        folder = layout.server if server else layout.hospital(name)
        for file in ("tls.key", "tls.pem"):
            (folder / file).unlink(missing_ok=True)
        hosts = settings["server_names"]
        authority.issue(name, "server" if server else "client", folder, hosts=hosts, days=days)
        renewed.append(name)
    authority.renew_crl()
    publish_crl(layout)
    return renewed


def publish_crl(layout: Layout) -> None:
    """Give the server the authority's current revocation list."""
    partial = layout.crl.with_suffix(".partial")
    shutil.copyfile(layout.ca / "crl.pem", partial)
    partial.replace(layout.crl)


def amend(layout: Layout, asked: Settings, names: Sequence[str]) -> None:
    """Change what may change in a consortium that exists: more rounds, another port.

    Parameters
    ----------
    layout
        The consortium's folder.
    asked
        The new settings.
    names
        Which of them were asked for; the others stay.

    Raises
    ------
    DeploymentError
        If the number of rounds would shrink.
    """
    settings, rounds = layout.read_settings(), asked.rounds
    if "rounds" in names and rounds < settings["rounds"]:
        raise DeploymentError(
            f"{layout.root} was founded for {settings['rounds']} rounds; rounds={rounds} cannot "
            "shorten that."
        )
    changed = {k: getattr(asked, k) for k in ("rounds", *_CHANGEABLE) if k in names}
    if "port" in changed:
        layout.state("gateway").unlink(missing_ok=True)  # else it would return to its last port
    if changed:
        write_json(layout.settings, {**settings, **changed})


def differing(layout: Layout, settings: Settings, names: Sequence[str]) -> list[str]:
    """Return which of some settings are not those of the consortium in a folder."""
    stored = layout.read_settings()["founded with"]
    asked = _comparable(settings)
    return [name for name in names if name in asked and stored.get(name) != asked[name]]


def _comparable(settings: Settings) -> dict[str, Any]:
    plain = asdict(replace(settings, data="breast_cancer", rounds=1))
    plain["data"] = settings.data if isinstance(settings.data, str) else "given"
    for name in ("rounds", *_CHANGEABLE):
        del plain[name]
    return json.loads(json.dumps(plain))


def _plain(settings: Settings, task: DenseTask, names: list[str]) -> dict[str, Any]:
    model = 4 * sum(int(np.prod(shape)) for shape in task.shapes)
    return {
        "hospitals": names,
        "rounds": settings.rounds,
        "deadline": settings.deadline,
        "quorum": settings.quorum or task.num_sampled // 2 + 1,
        "max_message_bytes": settings.max_message_bytes or 2 * model + 100_000,
        "host": settings.host,
        "port": settings.port,
        "server_names": list(settings.server_names),
        "founded with": _comparable(settings),
    }
