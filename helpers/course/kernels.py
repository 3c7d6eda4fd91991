"""The kernel in which labs and chapters execute: two of them can start at the same moment."""

from __future__ import annotations

from typing import Any

from jupyter_client.manager import AsyncKernelManager

from helpers._schemas import IRI_GRAMMAR

# TensorFlow imports JAX, a sixth of its own time, for one converter that no notebook calls. JAX
# stays away while that module is made, and comes to whoever asks for it afterwards.
_WITHOUT_JAX = """
import sys

class SparesJax:
    @staticmethod
    def find_spec(name, path=None, target=None):
        asks = sys.modules.get("tensorflow.lite.python.util") if name == "jax" else None
        if asks is not None and asks.__spec__._initializing:
            raise ModuleNotFoundError("JAX is spared")

sys.meta_path.insert(0, SparesJax)
"""

# Run before the first cell. They bind no name, which every notebook would then hold.
_FIRST = (
    f'__import__("sys").modules.setdefault("{IRI_GRAMMAR}", None)',
    # Importing TensorFlow and tracing a graph make many small objects that stay. Looked through for
    # garbage at every 700 more, as Python does, they take a sixth of that time.
    '__import__("gc").set_threshold(20_000, 10, 10)',
    f"exec({_WITHOUT_JAX!r}, {{}})",
)


class SocketFileKernel(AsyncKernelManager):
    """A kernel reached through socket files in its job's folder.

    TCP ports are chosen before the kernel binds them: two kernels that start together can be given
    the same one, and the later one dies. The path is relative because the system limits a socket's
    to 107 bytes; kernel and client share the working folder, and the sockets lie beside it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transport = "ipc"
        self.ip = "../kernel"

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command that starts the kernel, spared what its notebooks do not need."""
        first = [f"--IPKernelApp.exec_lines={line}" for line in _FIRST]
        command: list[str] = super().format_kernel_cmd([*first, *(extra_arguments or [])])
        return command
