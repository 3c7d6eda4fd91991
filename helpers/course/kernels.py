"""The kernels in which labs and chapters execute.

Two of them can start at the same moment, and one can be forked from a process that has imported
already what a notebook imports.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager

import helpers
from helpers._schemas import IRI_GRAMMAR

# TensorFlow imports JAX, a sixth of its own time, for one converter that no notebook calls. JAX
# stays away while that module is made, and comes to whoever asks for it afterwards.
WITHOUT_JAX = """
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
    f"exec({WITHOUT_JAX!r}, {{}})",
)

# TensorFlow logs to the page, not to what was the standard output while it was imported.
_LOGS_TO_THE_PAGE = """
import logging, sys

for handler in logging.getLogger("tensorflow").handlers:
    handler.setStream(sys.stdout)
"""


class SocketFileKernel(AsyncKernelManager):
    """A kernel reached through socket files in its job's folder.

    TCP ports are chosen before the kernel binds them: two kernels that start together can be given
    the same one, and the later one dies. The path is relative because the system limits a socket's
    to 107 bytes; kernel and client share the working folder, and the sockets lie beside it.

    Attributes
    ----------
    waiting : WaitingKernel, optional
        The process that becomes the kernel; without one a new interpreter is started.
    """

    waiting: WaitingKernel | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transport = "ipc"
        self.ip = "../kernel"

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command that starts the kernel, spared what its notebooks do not need."""
        first = [f"--IPKernelApp.exec_lines={line}" for line in _FIRST]
        command: list[str] = super().format_kernel_cmd([*first, *(extra_arguments or [])])
        return command

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            await super()._async_launch_kernel(kernel_cmd, **kw)
            return
        local: Any = self.provisioner  # a LocalProvisioner, as far as its process is concerned
        local.process = waiting
        local.pid = local.pgid = waiting.pid
        local.cwd = kw.get("cwd")
        after = kernel_cmd.index("ipykernel_launcher") + 1
        waiting.become_kernel(kernel_cmd[after:], {**kw["env"], "JPY_PARENT_PID": str(os.getpid())})
        self._reconcile_connection_info(local.connection_info)


def manager(waiting: WaitingKernel | None) -> type[SocketFileKernel]:
    """Return the class of managers that start a kernel, or make one of the process that waits."""
    return type("Manager", (SocketFileKernel,), {"waiting": waiting})


class WaitingKernel:
    """A process that was forked before a kernel is needed; as one of ``subprocess.Popen``."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, order: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._order = order

    @classmethod
    def forked(cls) -> WaitingKernel:
        """Fork this process, in which no other thread may run; the fork never returns from here.

        It ends when the other process has ended without an order.
        """
        here, order = os.pipe()
        pid = os.fork()
        if pid:
            os.close(here)
            return cls(pid, order)
        os.close(order)
        os.setsid()
        _wait_for_order(here)
        sys.exit()

    def become_kernel(self, arguments: list[str], environment: dict[str, str]) -> None:
        """Become what ``python -m ipykernel_launcher`` is, in the folder of this process."""
        with os.fdopen(self._order, "w", encoding="utf-8") as order:
            json.dump([str(Path.cwd()), arguments, environment], order)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _wait_for_order(pipe: int) -> None:
    with os.fdopen(pipe, encoding="utf-8") as order:
        text = order.read()
    if not text:
        os._exit(0)
    folder, arguments, environment = json.loads(text)
    os.chdir(folder)
    take_path(environment.get("PYTHONPATH", ""))
    _forget()
    os.environ.clear()
    os.environ.update(environment)
    random.seed()  # else every fork would draw the same
    sys.modules["numpy"].random.seed()
    sys.argv = [
        "ipykernel_launcher", *arguments,
        f"--IPKernelApp.exec_lines=exec({_LOGS_TO_THE_PAGE!r}, {{}})",
        # Read from the environment when ipykernel is imported: whose death ends this process.
        f"--IPKernelApp.parent_handle={environment['JPY_PARENT_PID']}",
    ]  # fmt: skip
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


def take_path(path: str) -> None:
    """Import from where a new interpreter with this ``PYTHONPATH`` would import from."""
    former = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [entry for entry in sys.path if entry not in former]
    sys.path[:] = dict.fromkeys([*filter(None, path.split(os.pathsep)), *rest])


def _forget() -> None:
    """Let go of what would be another module if it were imported by the notebook."""
    names = {"tqdm", "matplotlib_inline"}  # which look, while imported, for a notebook around them
    found = PathFinder.find_spec("helpers", sys.path)
    if found is None or found.origin != helpers.__file__:
        names.add("helpers")
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
