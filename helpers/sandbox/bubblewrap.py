"""Let bubblewrap put up the namespaces where this process may not.

Some distributions let only chosen programs make user namespaces, and ``bwrap`` is among them. The
file tree, the private folder and the process namespace are then bubblewrap's; the other layers are
put up inside it as ever. https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import shutil
from typing import Any

_NOBODY = "65534"


def installed() -> str | None:
    """Return the path of ``bwrap``, or None."""
    return shutil.which("bwrap")


def wrapped(launcher: list[str], policy: dict[str, Any]) -> list[str]:
    """Return the command that starts the launcher inside bubblewrap's namespaces."""
    command = [
        installed() or "bwrap", "--unshare-all", "--die-with-parent", "--new-session",
        "--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox", "--cap-drop", "ALL",
        "--proc", "/proc", "--dev", "/dev",
    ]  # fmt: skip
    for path in sorted(policy["readable"]):
        command += ["--ro-bind-try", path, path]
    if not any(path.startswith("/tmp/") for path in policy["readable"]):
        command += ["--symlink", policy["folder"], "/tmp"]
    command += ["--size", str(policy["disk"]), "--tmpfs", policy["folder"]]
    command += ["--size", str(policy["shared_memory"]), "--tmpfs", "/dev/shm"]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--", *launcher]
