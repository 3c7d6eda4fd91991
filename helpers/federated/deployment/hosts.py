"""Processes by the name of their host: start, kill, freeze, restart, end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.layout import Layout, read_events, read_json
from helpers.federated.deployment.processes.common import PARENT_VARIABLE
from helpers.federated.deployment.reports import NODE_MODULE, SERVER_MODULES, read_log

SERVER = tuple(SERVER_MODULES)
_POLL, _LONGEST_PAUSE = 0.05, 60.0
START_SECONDS = 120.0


class Hosts:
    """The processes of one deployment; :class:`~.consortium.Consortium` adds what they are for.

    Parameters
    ----------
    layout
        Folder of the deployment.
    apps
        ClientApps of single hospitals, ``"module:function"`` by name.
    routes
        Addresses of the gateway for single hospitals, by name.

    Raises
    ------
    DeploymentError
        If the folder holds no consortium, or ``apps`` or ``routes`` names a stranger.
    """

    def __init__(self, layout: Layout, apps: Mapping[str, str], routes: Mapping[str, str]) -> None:
        self.layout = layout
        self.settings = layout.read_settings()
        self.hospitals: list[str] = list(self.settings["hospitals"])
        self._apps = _of_hospitals("apps", apps, self.hospitals)
        self._routes = _of_hospitals("routes", routes, self.hospitals)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._launched: dict[str, float] = {}
        self._deaths: dict[str, int] = {}

    @property
    def is_finished(self) -> bool:
        """Whether all rounds that were asked for are done."""
        return self.round_number >= int(self.settings["rounds"])

    @property
    def round_number(self) -> int:
        """Rounds done and saved."""
        stems = [path.stem for path in self.layout.checkpoints.glob("round-*.json")]
        numbers = [stem.removeprefix("round-") for stem in stems]
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def launch_missing(self) -> None:
        """Start every process that is not running: the server, then who talks to it."""
        self._start_server()
        for name in self.hospitals:
            if not self.is_alive(name):
                self._launch(name)
        if not self.is_alive("serverapp") and not self.is_finished:
            self._launch("serverapp")

    def end_all(self, seconds: float = 3.0) -> None:
        """End every process: SIGTERM, and SIGKILL for what is left after some seconds."""
        running = [p for p in self._processes.values() if p.poll() is None]
        for process in running:
            _signal_group(process, signal.SIGCONT)
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
            process.wait()
        self._processes.clear()

    def _start_server(self) -> None:
        for name in ("superlink", "gateway"):
            if not self.is_alive(name):
                self._launch(name)
        for name in ("superlink", "gateway"):
            self._until(
                partial(self._announced, name),
                START_SECONDS,
                f"{name} to start",
                [name],
            )

    def _announced(self, name: str) -> bool:
        state = read_json(self.layout.state(name))
        return state is not None and state["pid"] == self._processes[name].pid

    @property
    def address(self) -> str:
        """Where the gateway listens, ``host:port``.

        Raises
        ------
        DeploymentError
            If the gateway has not started.
        """
        state = read_json(self.layout.state("gateway"))
        if state is None:
            raise DeploymentError("The gateway has not started: call start().")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(state["host"], state["host"])
        return f"{host}:{state['port']}"

    def kill(self, name: str) -> None:
        """Kill a host without warning (SIGKILL).

        Parameters
        ----------
        name
            A hospital, ``"server"`` (its three processes), or one of ``"superlink"``,
            ``"gateway"``, ``"serverapp"``.

        Raises
        ------
        DeploymentError
            If nothing is called that.
        """
        for one in self._named(name):
            process = self._processes.get(one)
            if process is not None and process.poll() is None:
                _signal_group(process, signal.SIGKILL)
                process.wait()

    def restart(self, name: str, app: str | None = None) -> None:
        """Start a host again (killing what is left of it first).

        Parameters
        ----------
        name
            As for :meth:`kill`.
        app
            ClientApp that a hospital runs from now on, ``"module:function"``; None is the one it
            ran before.

        Raises
        ------
        DeploymentError
            If nothing is called that, or the server does not come up.
        """
        if app is not None:
            self._apps |= _of_hospitals("apps", {name: app}, self.hospitals)
        self.kill(name)
        names = self._named(name)
        if "superlink" in names:  # a ServerApp belongs to the SuperLink that it started with
            self.kill("serverapp")
            names = [*names, "serverapp"]
        if {"superlink", "gateway"} & set(names):
            self._start_server()
        for one in dict.fromkeys(names):
            if not self.is_alive(one) and not (one == "serverapp" and self.is_finished):
                self._launch(one)

    def pause(self, name: str) -> None:
        """Freeze a host (SIGSTOP): the slow client, or the network that is cut.

        Raises
        ------
        DeploymentError
            If nothing is called that, or it is not running.
        """
        for one in self._named(name):
            process = self._running(one)
            _signal_group(process, signal.SIGSTOP)
            while process.poll() is None and not _is_stopped(process.pid):
                time.sleep(_POLL)  # a busy machine delivers the signal a little later

    def resume(self, name: str) -> None:
        """Let a frozen host go on (SIGCONT).

        Raises
        ------
        DeploymentError
            If nothing is called that, or it is not running.
        """
        for one in self._named(name):
            _signal_group(self._running(one), signal.SIGCONT)

    def tend(self) -> list[str]:
        """Restart hosts that died, as a service manager would; returns their names.

        One that dies again and again is restarted ever more rarely, up to once a minute.
        """
        dead = [n for n in (*SERVER, *self.hospitals) if n in self._processes and self._died(n)]
        dead = [name for name in dead if time.monotonic() >= self._not_before(name)]
        if "superlink" in dead:
            dead = [name for name in dead if name != "serverapp"]
        for name in dead:
            self._deaths[name] = self._deaths.get(name, 0) + 1
            self.restart(name)
        return dead

    def _not_before(self, name: str) -> float:
        deaths = self._deaths.get(name, 0)
        pause = min(2.0**deaths, _LONGEST_PAUSE) if deaths else 0.0
        return self._launched.get(name, 0.0) + pause

    def _died(self, name: str) -> bool:
        return not self.is_alive(name) and not (name == "serverapp" and self.is_finished)

    def is_alive(self, name: str) -> bool:
        """Whether a process started here is running (or paused)."""
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def pids(self, name: str) -> list[int]:
        """Return the process ids of a host, that of the ClientApp included.

        Raises
        ------
        DeploymentError
            If nothing is called that.
        """
        ids = [self._processes[one].pid for one in self._named(name) if self.is_alive(one)]
        state = read_json(self.layout.state(name)) or {}
        return [*ids, *([state["clientapp"]] if "clientapp" in state and ids else [])]

    def _named(self, name: str) -> list[str]:
        if name == "server":
            return list(SERVER)
        if name not in (*SERVER, *self.hospitals):
            raise DeploymentError(
                f"{name!r} is no part of this consortium: use server, {', '.join(SERVER)}, "
                f"{', '.join(self.hospitals)}."
            )
        return [name]

    def _running(self, name: str) -> subprocess.Popen[bytes]:
        if not self.is_alive(name):
            raise DeploymentError(f"{name} is not running.")
        return self._processes[name]

    def _launch(self, name: str) -> None:
        known = read_json(self.layout.state(name)) or {}
        self.layout.state(name).unlink(missing_ok=True)
        if name == "gateway":  # the nodes look for it where it was
            where = [self.settings["host"], str(known.get("port", self.settings["port"]))]
            command = [SERVER_MODULES[name], str(self.layout.root), *where]
        elif name in SERVER_MODULES:
            command = [SERVER_MODULES[name], str(self.layout.root)]
        else:
            where = [self._routes.get(name, self.address)]
            command = [NODE_MODULE, str(self.layout.hospital(name)), "--server", *where]
            command += ["--state", str(self.layout.state(name))]
            command += ["--app", self._apps[name]] if name in self._apps else []
        self._launched[name] = time.monotonic()
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.layout.root,
                start_new_session=True,  # a group of its own: one Ctrl-C, one orderly end
            )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            PARENT_VARIABLE: str(os.getpid()),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
            "FLWR_HOME": str(self.layout.root / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            # Networks this small gain nothing from more threads.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }

    def state_of(self, name: str) -> str:
        """Return running, paused, ended, killed or not started."""
        process = self._processes.get(name)
        if process is None:
            return "not started"
        code = process.poll()
        if code is not None:
            return "killed" if code < 0 else "ended"
        return "paused" if _is_stopped(process.pid) else "running"

    def _summary(self) -> str:
        states = (f"{name} {self.state_of(name)}" for name in (*SERVER, *self.hospitals))
        *_, last = [
            "",
            *(f" The log ends with {line}." for line in read_events(self.layout.events)),
        ]
        return f"{self.round_number} rounds are done; {', '.join(states)}.{last}"

    def _until(
        self, ready: Callable[[], bool], timeout: float, what: str, essential: list[str]
    ) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            ended = [name for name in essential if not self.is_alive(name)]
            if ended and not ready():
                log = read_log(self.layout, ended[0], 15)
                raise DeploymentError(f"{ended[0]} ended while waiting for {what}:\n{log}")
            if time.monotonic() > deadline:
                raise DeploymentError(f"{what} did not come in {timeout:g} s. {self._summary()}")
            time.sleep(_POLL)


def _of_hospitals(what: str, named: Mapping[str, str], hospitals: list[str]) -> dict[str, str]:
    if unknown := named.keys() - set(hospitals):
        raise DeploymentError(f"{what} names {sorted(unknown)}; there are {hospitals}.")
    return dict(named)


def _signal_group(process: subprocess.Popen[bytes], sent: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sent)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
