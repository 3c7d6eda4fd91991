"""What a lock file pins. Standard library only: Colab reads one before anything is installed."""

from __future__ import annotations

import re
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)", re.MULTILINE)


def read(lock: Path) -> dict[str, str]:
    """Return the versions that a lock file pins, by distribution name."""
    return {match["name"]: match["version"] for match in _PIN.finditer(lock.read_text("utf-8"))}


def canonical(name: str) -> str:
    """Return the spelling that all names of one distribution share: ``dm-tree`` for ``dm_tree``."""
    return re.sub(r"[-_.]+", "-", name).lower()
