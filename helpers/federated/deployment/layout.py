"""Where everything of a deployment lies: one folder a host, as it would be on real machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.federated.checkpoint import write_atomically
from helpers.federated.deployment.errors import DeploymentError

_SETTINGS = {"founded with", "hospitals", "rounds", "server_names", "max_message_bytes"}


class Layout:
    """Paths inside a deployment's folder.

    ``ca/`` stays with the consortium's office, ``server/`` is what the server holds, each
    ``hospital-N/`` what one hospital holds; ``run/`` and ``logs/`` are this machine's.

    Parameters
    ----------
    root
        Folder of the deployment.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    @property
    def settings(self) -> Path:
        """Settings of the consortium (JSON)."""
        return self.root / "consortium.json"

    def read_settings(self) -> dict[str, Any]:
        """Read the settings of the consortium.

        Raises
        ------
        DeploymentError
            If there are none, or they lack something.
        """
        settings = read_json(self.settings)
        if settings is None:
            raise DeploymentError(
                f"{self.root} holds no consortium: start one with `edgesec federate up --dir "
                f"{self.root}`, or name its folder."
            )
        missing = _SETTINGS - settings.keys() if isinstance(settings, dict) else _SETTINGS
        if missing:
            raise DeploymentError(
                f"{self.settings} is damaged, it lacks {', '.join(sorted(missing))}: restore it, "
                "or start anew in another folder."
            )
        return dict(settings)

    @property
    def ca(self) -> Path:
        """The certificate authority."""
        return self.root / "ca"

    @property
    def server(self) -> Path:
        """What the server holds."""
        return self.root / "server"

    @property
    def checkpoints(self) -> Path:
        """One checkpoint a round."""
        return self.server / "checkpoints"

    @property
    def crl(self) -> Path:
        """The server's copy of the revocation list."""
        return self.server / "crl.pem"

    @property
    def events(self) -> Path:
        """What the server and the gateway saw, one JSON object a line."""
        return self.server / "events.jsonl"

    @property
    def history(self) -> Path:
        """The finished run: weights and records."""
        return self.server / "history.json"

    @property
    def run(self) -> Path:
        """Process ids and ports."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    def hospital(self, name: str) -> Path:
        """What one hospital holds."""
        return self.root / name

    def state(self, process: str) -> Path:
        """What a process announces: its id and ports (JSON)."""
        return self.run / f"{process}.json"


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    write_atomically(path, json.dumps(content, indent=1))


def read_json(path: Path) -> Any:
    """Read JSON, or return None where there is no such file.

    Raises
    ------
    DeploymentError
        If it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:  # UnicodeDecodeError is one
        raise DeploymentError(
            f"{path} is damaged ({error}): restore it, or start anew in another folder."
        ) from error


def append_event(path: Path, event: str, **details: Any) -> None:
    """Add one line to an event log; lines this short are written whole or not at all."""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **details}) + "\n"
    with path.open("a") as file:
        file.write(line)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log; a line that a kill cut short, or that is none, is left out."""
    if not path.exists():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and {"time", "event"} <= event.keys():
            yield event
