"""One file and the process that runs it, started in the sandbox and again at most once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.audit.cage import Cage
from helpers.audit.description import (
    Description,
    ModelContract,
    fill_outputs,
    fit_input,
    read_contract,
    read_description,
)
from helpers.errors import (
    AuditError,
    ModelCrashError,
    ModelMemoryError,
    ModelRefusedError,
    ModelTimeoutError,
    OutOfTimeError,
)

RESTARTS = 1
# What a file may do to its process, and what a report calls it.
INCIDENTS: dict[type[AuditError], str] = {
    ModelCrashError: "crash",
    ModelTimeoutError: "time-out",
    ModelMemoryError: "memory",
}
FAILURES = tuple(INCIDENTS)
Answer = tuple[dict[str, Any], list[NDArray[Any]], bytes]


@dataclass(frozen=True)
class Incident:
    """Something the file did to the process that ran it: a finding in itself.

    Attributes
    ----------
    kind
        ``"crash"``, ``"time-out"`` or ``"memory"``.
    during
        What was being done.
    detail
        What happened, in a sentence.
    """

    kind: str
    during: str
    detail: str


class Session:
    """A model file in a process of its own.

    Parameters
    ----------
    data
        The file.
    runtime
        What runs it.
    threads
        Threads of one run.
    start
        Starts a cage with a runtime in it.
    sizes
        Of the one input beyond the batch, where the file leaves them open; None takes the file's.

    Attributes
    ----------
    contract, description
        What the process said when it opened the file.
    was_resized
        Whether the file leaves sizes open that were given here.
    incidents
        What the file has done to its processes.
    """

    def __init__(
        self,
        data: bytes,
        runtime: str,
        threads: int,
        start: Callable[[str], Cage],
        sizes: tuple[int, ...] | None = None,
    ) -> None:
        self.data, self.runtime, self.threads, self._start = data, runtime, threads, start
        self._sizes, self.was_resized = sizes, False
        self.incidents: list[Incident] = []
        self._restarts, self._cage = RESTARTS, start(runtime)
        try:
            self.contract, self.description = self._open()
        except BaseException:
            self._cage.close()
            raise

    def _open(self) -> tuple[ModelContract, Description]:
        header = self._open_in_cage()
        contract = read_contract(header.get("contract"))
        description = read_description(header.get("description"), self.runtime)
        if self._sizes is None:
            return contract, description
        fitted = fit_input(contract, self._sizes)
        self.was_resized = fitted.inputs != contract.inputs
        if self.was_resized:  # what the file plans is for other sizes
            description = replace(description, macs=None, arena_bytes=None)
        port = fitted.inputs[0]
        _, answers, _ = self._cage.ask("run", [port.encode(np.zeros(port.stated.shape))])
        return fill_outputs(fitted, [answer.shape for answer in answers]), description

    def _open_in_cage(self) -> dict[str, Any]:
        """Open the file; a refusal for sizes that contradict it is the caller's, not the file's."""
        details: dict[str, Any] = {"blob": self.data, "threads": self.threads}
        try:
            return self._cage.ask("open", sizes=self._sizes, **details)[0]
        except ModelRefusedError:
            if self._sizes is None:
                raise
            header, _, _ = self._cage.ask("open", sizes=None, **details)
            fit_input(read_contract(header.get("contract")), self._sizes)
            raise

    def ask(self, do: str, arrays: Sequence[NDArray[Any]] = (), **details: Any) -> Answer:
        """Ask the process; after a crash ask a new one, once.

        Raises
        ------
        ModelCrashError, ModelTimeoutError, ModelMemoryError
            If the file ends its process, which is noted among the incidents.
        """
        if not self._cage.is_open:
            self._restart()
        try:
            return self._cage.ask(do, arrays, **details)
        except FAILURES as error:
            self._record(do, error)
            # What a model with state was told before is lost with its process.
            lost = not self._restarts or (do == "run" and self.contract.stateful)
            if lost or not isinstance(error, ModelCrashError):
                raise
        return self.ask(do, arrays, **details)

    def ask_apart(
        self,
        do: str,
        arrays: Sequence[NDArray[Any]] = (),
        runtime: str = "",
        within: float | None = None,
        **details: Any,
    ) -> Answer:
        """Ask a process that is started for this one question.

        Raises
        ------
        OutOfTimeError
            If it does not answer within so many seconds, fewer than the file's own budget allows:
            then the file has done nothing wrong.
        ModelCrashError, ModelTimeoutError, ModelMemoryError
            If the file ends its process, which is noted among the incidents.
        """
        cage = self._start(runtime or self.runtime)
        hurried = within is not None and cage.hurry(within)
        try:
            return cage.ask(do, arrays, sizes=self._sizes, **details)
        except FAILURES as error:
            if hurried and isinstance(error, ModelTimeoutError):
                raise OutOfTimeError(
                    f"a process of its own did not answer ({do}) within the {within:.0f} s that "
                    "were left: give a larger --budget"
                ) from error
            self._record(do, error)
            raise
        finally:
            cage.close()

    def _restart(self) -> None:
        if not self._restarts:
            raise ModelCrashError(
                f"The file has ended its process {len(self.incidents)} times; it is not run again."
            )
        self._restarts -= 1
        self._cage = self._start(self.runtime)
        contract, _ = self._open()
        if contract != self.contract:
            self.close()
            raise ModelRefusedError("The file states another contract each time it is opened.")

    def _record(self, during: str, error: AuditError) -> None:
        self.incidents.append(Incident(INCIDENTS[type(error)], during, str(error)))

    def close(self) -> None:
        """End the process for good; closing twice is fine."""
        self._restarts = 0
        self._cage.close()
