"""Run a notebook's cells in a kernel of another Python, and show what they give here.

For a Colab runtime whose own Python cannot hold the course: the notebook stays connected to its
kernel, and that one forwards every cell.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STAY = ("colab.setup(", "colab.use_python_311(")  # cells that are meant for the outer kernel


class CellFailedError(Exception):
    """A forwarded cell raised; its traceback has been shown above."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Bridge:
    """A kernel of another Python and the client that feeds it.

    Parameters
    ----------
    python : str
        The other interpreter; it must have ``ipykernel``.
    shell : IPython.core.interactiveshell.InteractiveShell
        Shows the outputs.
    """

    def __init__(self, python: str, shell: Any) -> None:
        from jupyter_client.manager import start_new_kernel

        self._shell = shell
        # The outer kernel's own settings, which the other Python may know nothing of.
        outer = ("PYTHONPATH", "MPLBACKEND")
        env = {name: value for name, value in os.environ.items() if name not in outer}
        self._manager, self._client = start_new_kernel(kernel_name=_kernel_spec(python), env=env)

    def execute(self, code: str) -> None:
        """Run one cell there; raise :class:`CellFailedError` if it raised."""
        try:
            reply = self._client.execute_interactive(
                code, allow_stdin=False, output_hook=self._show, timeout=None
            )
        except KeyboardInterrupt:
            self._manager.interrupt_kernel()
            raise
        content = reply["content"]
        if content["status"] != "ok":
            raise CellFailedError(f"{content.get('ename')}: {content.get('evalue')}")

    def close(self) -> None:
        """End the other kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def transform(self, lines: list[str]) -> list[str]:
        """Turn a cell into one that forwards it: an IPython input transformation."""
        code = "".join(lines)
        if not code.strip() or any(call in code for call in _STAY):
            return lines
        return [f"get_ipython().course_bridge.execute({code!r})\n"]

    def _show(self, message: dict[str, Any]) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            (sys.stderr if content["name"] == "stderr" else sys.stdout).write(content["text"])
        elif kind in ("display_data", "execute_result"):
            publish: Callable[..., None] = self._shell.display_pub.publish
            publish(data=content["data"], metadata=content["metadata"])
        elif kind == "error":
            sys.stderr.write("\n".join(content["traceback"]) + "\n")


def connect(python: str) -> Bridge:
    """Forward all later cells of this notebook to a new kernel of `python`."""
    from IPython import get_ipython

    shell = get_ipython()
    if getattr(shell, "course_bridge", None):
        disconnect(shell)
    bridge = Bridge(python, shell)
    shell.course_bridge = bridge
    # Before any other transformation: magics are the other kernel's business.
    shell.input_transformers_cleanup.insert(0, bridge.transform)
    return bridge


def disconnect(shell: Any) -> None:
    """Run cells in this kernel again and end the other one."""
    bridge = shell.course_bridge
    shell.input_transformers_cleanup.remove(bridge.transform)
    shell.course_bridge = None
    bridge.close()


def _kernel_spec(python: str) -> str:
    """Register a kernel for `python` in this environment and return its name."""
    from jupyter_core.paths import jupyter_data_dir

    folder = Path(jupyter_data_dir()) / "kernels" / "course-python311"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Course (Python 3.11)", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), "utf-8")
    return folder.name
