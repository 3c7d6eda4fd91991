"""A file of votes that grows with every finished image, so that a long run survives a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from helpers.errors import RobustnessError
from helpers.robustness.certification.outcome import Votes


class VoteLog:
    """One JSON object a line: first what the run is, then the votes of each image.

    A line that a kill has cut short is the last one, and is dropped; its image is done again.

    Attributes
    ----------
    votes
        Of the images that are done, by their position.

    Parameters
    ----------
    path
        The file; made if missing, with its folder.
    run
        Everything that decides the votes, as plain JSON values.

    Raises
    ------
    RobustnessError
        If the file belongs to another run, is damaged, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any]) -> None:
        self._path = Path(path)
        self.votes: dict[int, Votes] = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = self._path.read_bytes() if self._path.exists() else b""
            whole = text[: text.rfind(b"\n") + 1]
            if not whole:
                whole = json.dumps({"run": run}, sort_keys=True).encode() + b"\n"
                self._path.write_bytes(whole)
            elif len(whole) < len(text):
                with self._path.open("r+b") as file:
                    file.truncate(len(whole))
        except OSError as error:
            raise RobustnessError(f"log={str(path)!r} cannot be used: {error.strerror}.") from error
        self._read(whole.decode("utf-8", "replace").splitlines(), run)

    def append(self, image: int, votes: Votes) -> None:
        """Write the votes of an image to the disk."""
        row = {"image": image, "selection": votes.selection, "counts": votes.counts}
        with self._path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, lines: list[str], run: dict[str, Any]) -> None:
        try:
            stored = json.loads(lines[0])["run"]
            rows = [json.loads(line) for line in lines[1:]]
            found = {
                row["image"]: Votes(tuple(row["selection"]), tuple(row["counts"])) for row in rows
            }
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RobustnessError(
                f"{str(self._path)!r} is damaged or no log of votes: move it away to start anew."
            ) from error
        differing = [key for key in run if stored.get(key) != run[key]]
        if differing or stored.keys() != run.keys():
            raise RobustnessError(
                f"{str(self._path)!r} belongs to another run (it differs in "
                f"{', '.join(differing) or 'its fields'}): choose another file, or move it away."
            )
        for image, votes in found.items():
            votes.require(image, run["num_selection"], run["num_samples"])
        self.votes = found
