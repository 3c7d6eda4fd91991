"""Rows on their way to a model and back: checked, in messages that are answered in time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.audit.description import ModelContract, Port
from helpers.audit.session import Session
from helpers.errors import ModelContractError

MESSAGE_BYTES, MESSAGE_SECONDS = 2**25, 2.0  # what one message to the worker aims at, at most
_FIRST_ROWS = 8


class Rows:
    """Asks a model for any number of rows.

    Parameters
    ----------
    session
        The open model.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._pace = session, _FIRST_ROWS

    @property
    def _contract(self) -> ModelContract:
        return self._session.contract

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model; see :meth:`helpers.audit.model.UntrustedModel.raw_predict`.

        Raises
        ------
        ModelContractError
            If inputs disagree in their rows, or answers in their shapes.
        """
        arrays = [
            _fit(port, array) for port, array in zip(self._ports(inputs), inputs, strict=True)
        ]
        counts = {len(array) for array in arrays}
        if len(counts) != 1 or not max(counts):
            raise ModelContractError(
                f"Inputs of {sorted(counts)} rows must agree, with at least 1."
            )
        total, rows, parts, start = counts.pop(), self._batch, [], 0
        most = self._most_rows()
        while start < total:
            step = min(most, self._pace) // rows * rows or rows
            began = time.monotonic()
            parts.append(self._run_some([array[start : start + step] for array in arrays], rows))
            start += step
            # The next message holds what takes a second or two, so that each is answered in time.
            took = max(time.monotonic() - began, 1e-3)
            self._pace = max(1, min(8 * self._pace, int(step * MESSAGE_SECONDS / took)))
        if any(len({answer.shape[1:] for answer in side}) > 1 for side in zip(*parts, strict=True)):
            raise ModelContractError("Answers to some rows have another shape than to others.")
        return [np.concatenate(side) for side in zip(*parts, strict=True)]

    def _ports(self, inputs: Sequence[Any]) -> tuple[Port, ...]:
        wanted = self._contract.inputs
        if len(inputs) != len(wanted):
            raise ModelContractError(
                f"The model takes {len(wanted)} inputs ({', '.join(map(str, wanted))}), not "
                f"{len(inputs)}."
            )
        return wanted

    def _most_rows(self) -> int:
        """Rows whose inputs and answers fit into a message."""
        row_bytes = [
            sum(math.prod(port.stated.shape[1:]) * 8 for port in side)
            for side in (self._contract.inputs, self._contract.outputs)
        ]
        return max(1, MESSAGE_BYTES // max(1, *row_bytes))

    @property
    def _batch(self) -> int:
        sizes = [port.shape[0] for port in self._contract.inputs if port.shape]
        return next((size for size in sizes if size), 1)

    def _run_some(self, arrays: list[NDArray[Any]], rows: int) -> list[NDArray[Any]]:
        count = len(arrays[0])
        missing = -count % rows
        if missing:
            arrays = [
                np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)]) for a in arrays
            ]
        _, answers, _ = self._session.ask("run", arrays)
        if len(answers) != len(self._contract.outputs):
            raise ModelContractError(
                f"The model gave {len(answers)} outputs; its contract has "
                f"{len(self._contract.outputs)}."
            )
        for port, answer in zip(self._contract.outputs, answers, strict=True):
            sizes = zip(port.shape[1:], answer.shape[1:], strict=False)
            fits = answer.ndim == len(port.shape) > 0 and all(s in (None, n) for s, n in sizes)
            if answer.dtype.name != port.dtype or not fits:
                raise ModelContractError(
                    f"Output {port} came as {answer.dtype} of shape {answer.shape}."
                )
        # Outputs whose first size is no batch are kept as they are.
        return [answer[:count] if len(answer) == count + missing else answer for answer in answers]


def _fit(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    given = np.ascontiguousarray(array)
    if not port.shape:
        raise ModelContractError(f"Input {port} has no batch: the audit asks models row by row.")
    sizes = zip(port.shape[1:], given.shape[1:], strict=False)
    fits = given.ndim == len(port.shape) and all(size in (None, got) for size, got in sizes)
    if given.dtype.name != port.dtype or not fits:
        raise ModelContractError(
            f"Input {port} does not take {given.dtype} of shape {given.shape}."
        )
    return given
