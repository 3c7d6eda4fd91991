"""Which layers hold an untrusted program."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

NAMES = ("namespaces", "landlock", "seccomp")


@dataclass(frozen=True)
class Layers:
    """The layers a sandbox is made of, each of them on or off.

    Resource limits, an empty environment, no capabilities, ``no_new_privs``, and the watch over
    wall-clock time and the memory of the whole group need nothing special; they are always on.

    Parameters
    ----------
    namespaces : bool
        Own user, file tree, network, processes, IPC and host name. Ending the first process
        inside ends all of them, however they were started.
    landlock : bool
        No file outside the tree, no TCP, no abstract socket, even if a namespace leaked.
    seccomp : bool
        No ``ptrace``, ``mount``, new namespaces, kernel keys, ``io_uring`` and the like.
    bubblewrap : bool
        The namespaces are made by the program ``bwrap``; no layer of its own.
    """

    namespaces: bool = True
    landlock: bool = True
    seccomp: bool = True
    bubblewrap: bool = False

    def policy(self) -> dict[str, bool]:
        """Return the layers as plain data."""
        return asdict(self)

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the layers that are off."""
        return tuple(name for name in NAMES if not getattr(self, name))

    def with_(self, *names: str) -> Layers:
        """Return the same layers and those named."""
        return replace(self, **dict.fromkeys(names, True))

    def without(self, *names: str) -> Layers:
        """Return the same layers but for those named."""
        return replace(self, **dict.fromkeys(names, False))
