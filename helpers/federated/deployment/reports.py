"""What a deployment's folder tells: how far it is, what it learned, how to move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.federated.checkpoint import Checkpoint, CheckpointFolder
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.layout import Layout, read_events, read_json
from helpers.federated.history import History

# The server's processes and the modules that they run; a hospital runs NODE_MODULE.
SERVER_MODULES = {
    "superlink": "helpers.federated.deployment.processes.superlink",
    "gateway": "helpers.federated.deployment.gateway",
    "serverapp": "helpers.federated.deployment.processes.serverapp",
}
NODE_MODULE = "helpers.federated.deployment.processes.node"


@dataclass(frozen=True)
class Status:
    """How a deployment stands.

    Attributes
    ----------
    phase
        ``"stopped"``, ``"starting"``, ``"training"``, ``"finished"`` or ``"failed"``.
    round, rounds
        Rounds done, and asked for.
    test_accuracy
        After the last round, or None.
    processes
        ``"running"``, ``"paused"``, ``"ended"`` or ``"killed"`` by name of the process.
    rejected
        Updates that the server has not counted.
    """

    phase: str
    round: int
    rounds: int
    test_accuracy: float | None
    processes: Mapping[str, str]
    rejected: int

    def __str__(self) -> str:
        score = "" if self.test_accuracy is None else f", test accuracy {self.test_accuracy:.3f}"
        head = f"{self.phase}: round {self.round} of {self.rounds}{score}"
        lines = [f"  {name:<12} {state}" for name, state in self.processes.items()]
        return "\n".join([head, *lines, f"  updates rejected: {self.rejected}"])


def last_checkpoint(layout: Layout, task: DenseTask) -> Checkpoint | None:
    """Return what a deployment saved after its last round, or None before the first.

    Raises
    ------
    TaskError
        If rounds were saved and none can be read any more: training them again is for whoever
        runs the consortium to decide.
    """
    return CheckpointFolder(layout.checkpoints, task.fingerprint).load(
        "The rounds they hold were trained with the hospitals, and are not trained again unasked: "
        "restore the folder from a copy, or delete it to start again at round 1."
    )


def read_history(layout: Layout) -> History:
    """Return the rounds that a deployment has done (see :meth:`Consortium.history`).

    Raises
    ------
    DeploymentError
        If no round is done yet.
    """
    task = DenseTask.load(layout.server)
    saved = last_checkpoint(layout, task)
    if saved is None:
        raise DeploymentError("No round is done yet: wait_for_round(1) waits for it.")
    # Before the weights lies the last aggregate, after them what the server optimiser remembers.
    return History(saved.records, list(saved.arrays[1 : 1 + len(task.shapes)]))


def read_status(layout: Layout, processes: Mapping[str, str]) -> Status:
    """Return how a deployment stands, from its folder."""
    settings = layout.read_settings()
    events = list(read_events(layout.events))
    done = [event for event in events if event["event"] == "round done"]
    number = int(done[-1]["round"]) if done else 0
    alive = any(state in ("running", "paused") for state in processes.values())
    if number >= settings["rounds"]:
        phase = "finished"
    elif not alive:
        phase = "stopped"
    elif processes.get("serverapp") in ("ended", "killed"):
        phase = "failed"
    else:
        started = any(event["event"] == "round started" for event in events)
        phase = "training" if started else "starting"
    return Status(
        phase,
        number,
        int(settings["rounds"]),
        done[-1]["test_accuracy"] if done else None,
        dict(processes),
        sum(event["event"] == "update rejected" for event in events),
    )


def read_log(layout: Layout, name: str, lines: int) -> str:
    """Return the last lines of a process's log.

    Raises
    ------
    DeploymentError
        If there is no such log.
    """
    path = layout.logs / f"{name}.log"
    if path.parent != layout.logs or not path.exists():
        known = ", ".join(sorted(p.stem for p in layout.logs.glob("*.log")))
        raise DeploymentError(f"There is no log of {name!r}; there are: {known or 'none'}.")
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def supervisor(layout: Layout) -> int | None:
    """Return the id of the process that runs a deployment, or None where none does."""
    state = read_json(layout.state("supervisor"))
    if state is None or born(state["pid"]) != state["born"]:
        return None  # it is gone; its number may belong to another process by now
    return int(state["pid"])


def real_hosts(layout: Layout) -> str:
    """Return what to copy to real hosts and what to run there."""
    settings = layout.read_settings()
    name = settings["server_names"][0]
    state = read_json(layout.state("gateway")) or {}
    port = settings["port"] or state.get("port", 9443)
    lines = [
        "On real hosts the same processes run apart, each with its own folder only:",
        f"  server      copy {layout.server} and consortium.json, then, with the folder that holds",
        "              both as DIR, keep these three running under a service manager:",
        f"                python -m {SERVER_MODULES['superlink']} DIR",
        f"                python -m {SERVER_MODULES['gateway']} DIR 0.0.0.0 {port}",
        f"                python -m {SERVER_MODULES['serverapp']} DIR",
        f"              Open port {port} alone; everything else listens on 127.0.0.1.",
    ]
    for hospital in settings["hospitals"]:
        lines += [
            f"  {hospital:<11} copy {layout.hospital(hospital)} as {hospital}/, then:",
            f"                python -m {NODE_MODULE} {hospital} --server {name}:{port}",
        ]
    lines += [
        f"  nobody      gets {layout.ca}: it stays off line with whoever admits members.",
        f"The server's certificate is valid for {', '.join(settings['server_names'])}; found the",
        "consortium with the server's real name (`edgesec federate up --server-name NAME`).",
    ]
    return "\n".join(lines)


def final_weights(layout: Layout) -> list[np.ndarray]:
    """Return the global weights in ``server/final_weights.npz``, float32, layer by layer."""
    with np.load(layout.server / "final_weights.npz", allow_pickle=False) as archive:
        return [archive[f"w{index}"] for index in range(len(archive.files))]


def born(pid: int) -> str | None:
    """Return when a process started (clock ticks since boot), or None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
