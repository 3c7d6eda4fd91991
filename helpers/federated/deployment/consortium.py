"""A consortium on one machine: every host a set of processes that one can start, kill and watch."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from helpers._files import take_lock
from helpers.federated.deployment import founding, reports
from helpers.federated.deployment.authority import CertificateAuthority
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.founding import Settings
from helpers.federated.deployment.hosts import SERVER, Hosts
from helpers.federated.deployment.layout import Layout, read_events, write_json
from helpers.federated.deployment.reports import Status, born, supervisor
from helpers.federated.deployment.scratch import SweptFolder
from helpers.federated.history import History


class Consortium(Hosts):
    """Starts, watches and stops the processes of a consortium.

    Use it as a context manager, so that nothing is left running::

        with Consortium(clients=4, rounds=5) as consortium:
            consortium.kill("hospital-2")
            history = consortium.wait()

    Parameters
    ----------
    folder
        Folder of the deployment; one that holds a consortium is continued. None is a temporary
        folder, deleted by :meth:`stop`, or when this process ends in any other way.
    apps
        ClientApps that hospitals run instead of the course's, ``"module:function"`` by name; the
        function takes the hospital's folder. (A hospital runs what it likes: some lie.)
    routes
        Addresses, ``"host:port"`` by name, through which hospitals reach the gateway instead of
        directly: a proxy, or a :class:`~.wiretap.Wiretap`.
    **settings
        Fields of :class:`Settings`.

    Raises
    ------
    DeploymentError
        If the folder holds a consortium with other settings.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        apps: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self._temporary: SweptFolder | None = None
        self._lock: int | None = None
        if folder is None:
            self._temporary = SweptFolder("consortium-")
            folder = self._temporary.name
        self.layout = Layout(folder)
        if self.layout.settings.exists():
            self._continue(settings)
        else:
            founding.found(self.layout.root, Settings(**settings))
        super().__init__(self.layout, apps or {}, routes or {})

    def _continue(self, settings: dict[str, Any]) -> None:
        asked = Settings(**settings)
        if wrong := founding.differing(self.layout, asked, list(settings)):
            raise DeploymentError(
                f"{self.layout.root} holds a consortium with another {', '.join(wrong)}: leave "
                "that out to continue it, or use another folder."
            )
        founding.amend(self.layout, asked, list(settings))

    def __enter__(self) -> Consortium:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- processes ----------------------------------------------------------------------------

    def start(self) -> Consortium:
        """Start every process that is not running, and return at once.

        Call it from the main thread: the processes end with the thread that started them.

        Raises
        ------
        DeploymentError
            If another process runs this consortium, or the server does not come up.
        TaskError
            If it has trained and none of its checkpoints can be read.
        """
        if self._lock is None:
            self._lock = take_lock(self.layout.run / "lock")
        if self._lock is None:
            raise DeploymentError(
                f"{self.layout.root} is run by process {supervisor(self.layout) or 'unknown'}: "
                "stop that one first (`edgesec federate stop`)."
            )
        # Unreadable ones would end the server, and end it again.
        reports.last_checkpoint(self.layout, DenseTask.load(self.layout.server))
        if not any(self.is_alive(name) for name in SERVER):
            founding.renew(self.layout)
        write_json(self.layout.state("supervisor"), {"pid": os.getpid(), "born": born(os.getpid())})
        self.launch_missing()
        return self

    def prolong(self, rounds: int) -> None:
        """Ask for a larger number of rounds in total, and start what is needed to train them.

        A ServerApp that is still training is ended first; the next one goes on from the last saved
        round. Every other process that is not running is started.

        Parameters
        ----------
        rounds
            Rounds in total, those done included.

        Raises
        ------
        DeploymentError
            If the consortium was asked for more already.
        """
        founding.amend(self.layout, Settings(rounds=rounds), ["rounds"])
        self.settings = self.layout.read_settings()
        self.kill("serverapp")
        self.launch_missing()

    def revoke(self, name: str) -> None:
        """Revoke a hospital's certificate; the gateway refuses its next request."""
        CertificateAuthority.open(self.layout.ca).revoke(name)
        founding.publish_crl(self.layout)

    def stop(self) -> None:
        """End every process; a temporary folder is deleted. Safe to call twice."""
        if self._processes:
            self.end_all()
            self.layout.state("supervisor").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._temporary is not None:
            self._temporary.cleanup()

    # -- what happened --------------------------------------------------------------------------

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what the server and the gateway saw, all or of one kind, in order."""
        found = read_events(self.layout.events)
        return [line for line in found if event in (None, line["event"])]

    def rejections(self) -> list[dict[str, Any]]:
        """Return the updates that the server did not count: round, node, reason, detail."""
        return self.events("update rejected")

    def refusals(self) -> list[dict[str, Any]]:
        """Return the connections and requests that the gateway refused: node, reason."""
        return self.events("connection refused")

    def status(self) -> Status:
        """Return how the deployment stands now."""
        return reports.read_status(self.layout, self._states())

    def _states(self) -> dict[str, str]:
        return {name: self.state_of(name) for name in (*SERVER, *self.hospitals)}

    def history(self) -> History:
        """Return the rounds done so far and the global weights after them.

        Raises
        ------
        DeploymentError
            Before the first round is done.
        """
        return reports.read_history(self.layout)

    def logs(self, name: str, lines: int = 40) -> str:
        """Return the last lines that a process wrote."""
        return reports.read_log(self.layout, name, lines)

    def wait(self, timeout: float = 600.0, *, tend: bool = False) -> History:
        """Wait until all rounds are done.

        Parameters
        ----------
        timeout
            Seconds.
        tend
            Whether to restart hosts that die meanwhile.

        Raises
        ------
        DeploymentError
            If the server's process ends early or the time is over; with the end of its log.
        """
        self._wait_until(lambda: self.is_finished, timeout, "the last round", tend)
        if self.is_alive("serverapp"):  # it reports the end of the run to the SuperLink
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes["serverapp"].wait(10)
        return self.history()

    def wait_for_round(self, number: int, timeout: float = 120.0) -> None:
        """Wait until a round is done."""
        self._wait_until(
            lambda: self.round_number >= number, timeout, f"round {number}", tend=False
        )

    def wait_for(self, event: str, timeout: float = 120.0, **details: Any) -> dict[str, Any]:
        """Wait until the log holds an event with some details, and return it."""

        def matching() -> list[dict[str, Any]]:
            wanted = details.items()
            return [line for line in self.events(event) if wanted <= _hashable(line)]

        self._wait_until(lambda: bool(matching()), timeout, f"{event!r} {details}", tend=False)
        return matching()[0]

    def wait_for_hospital(self, name: str, timeout: float = 120.0) -> None:
        """Wait until a hospital that was started, or started again, has signed on at the server.

        Until then the server may take its former life for online, and ask that in vain.
        """
        announced, signed_on = self.layout.state(name), self.layout.hospital(name) / "node_id"

        def is_back() -> bool:
            files = announced.exists() and signed_on.exists()
            return files and signed_on.stat().st_mtime_ns >= announced.stat().st_mtime_ns

        self._until(is_back, timeout, f"{name} to sign on", [name])

    def _wait_until(self, ready: Callable[[], bool], timeout: float, what: str, tend: bool) -> None:
        essential = [] if tend else [n for n in ("serverapp",) if n in self._processes]

        def ready_or_tend() -> bool:
            if tend:
                self.tend()
            return ready()

        self._until(ready_or_tend, timeout, what, essential)

    def commands(self) -> str:
        """Return what to copy to real hosts and what to run there."""
        return reports.real_hosts(self.layout)


def _hashable(line: dict[str, Any]) -> Any:
    return {k: v for k, v in line.items() if not isinstance(v, list | dict)}.items()
