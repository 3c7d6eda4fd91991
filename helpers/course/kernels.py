"""The kernel in which labs and chapters execute: two of them can start at the same moment."""

from __future__ import annotations

from typing import Any

from jupyter_client.manager import AsyncKernelManager


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
