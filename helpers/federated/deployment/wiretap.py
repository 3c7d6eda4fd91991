"""The attacker on the network: a relay that keeps every byte, and may change what it passes on."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, NamedTuple

Direction = Literal["up", "down"]
_CHUNK, _SECONDS = 65_536, 30.0


class Chunk(NamedTuple):
    """Bytes that passed the relay together.

    Attributes
    ----------
    time
        When, in seconds since the epoch.
    connection
        Number of the connection, from 0.
    direction
        ``"up"`` to the server, ``"down"`` to the client.
    data
        The bytes as they came in.
    """

    time: float
    connection: int
    direction: Direction
    data: bytes


class Wiretap:
    """Relays TCP connections to a server and records them, as a hostile router could.

    Clients that connect to :attr:`address` reach the server. Use it as a context manager::

        with Wiretap(port=gateway_port) as tap:
            ...  # something that connects to tap.address
        tap.captured("up")

    Parameters
    ----------
    host, port
        The server; it need not listen yet.
    alter
        Receives each :class:`Chunk` and returns the bytes to pass on; None passes them on as
        they are. (An empty answer swallows the chunk.)
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, alter: Callable[[Chunk], bytes] | None = None
    ) -> None:
        self._server = (host, port)
        self._alter = alter
        self._chunks: list[Chunk] = []
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Port on which it listens, on the loopback interface."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        """Where clients connect, ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def chunks(self) -> list[Chunk]:
        """Everything that passed so far, in order."""
        with self._lock:
            return list(self._chunks)

    def captured(self, direction: Direction) -> bytes:
        """Return all bytes of one direction, one connection after another."""
        found = sorted((c for c in self.chunks if c.direction == direction), key=lambda c: c[1])
        return b"".join(chunk.data for chunk in found)

    def close(self) -> None:
        """Cut every connection and stop listening."""
        # Closing alone would not wake the thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Wiretap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(self._server, timeout=_SECONDS)
            except OSError:  # as a router would when nobody answers
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets |= {client, server}
            ends: list[tuple[socket.socket, socket.socket, Direction]] = [
                (client, server, "up"),
                (server, client, "down"),
            ]
            for source, sink, direction in ends:
                threading.Thread(
                    target=self._relay, args=(source, sink, number, direction), daemon=True
                ).start()
            number += 1

    def _relay(
        self, source: socket.socket, sink: socket.socket, number: int, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                chunk = Chunk(time.time(), number, direction, data)
                with self._lock:
                    self._chunks.append(chunk)
                sink.sendall(data if self._alter is None else self._alter(chunk))
        with contextlib.suppress(OSError):  # pass the end on, keep the other direction open
            sink.shutdown(socket.SHUT_WR)
        self._forget(source, sink)

    def _forget(self, source: socket.socket, sink: socket.socket) -> None:
        """Close both sockets once both directions have ended."""
        with self._lock:
            self._sockets.discard(source)
            if sink in self._sockets:
                return
        source.close()
        sink.close()
