"""The gateway alone, as a process of its own, and everything that can knock on it."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from helpers.federated.deployment import CertificateAuthority, Identity, Wiretap, probes
from helpers.federated.deployment.gateway import server_context
from helpers.federated.deployment.layout import Layout, read_events, read_json, write_json
from helpers.federated.deployment.wiretap import Chunk

SECONDS = 60.0
LIMIT = 100_000


@dataclass
class Door:
    """A running gateway with two members, and nothing behind it."""

    layout: Layout
    authority: CertificateAuthority
    process: psutil.Popen
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def identity(self, name: str = "hospital-1") -> Identity:
        own = self.layout.hospital(name)
        return Identity(own / "tls.pem", own / "tls.key", own / "root.pem")

    def greet(self, name: str = "hospital-1") -> str:
        context = probes.client_context(self.authority.root_path, self.identity(name))
        return probes.greet(self.address, context)

    def call(
        self, address: str = "", *, public_key: bytes = b"KEY OF hospital-1", body: bytes = b""
    ) -> str:
        root, identity = self.authority.root_path, self.identity()
        where = address or self.address
        return probes.call(where, root, identity, public_key=public_key, body=body)

    def reasons(self) -> list[str]:
        return [event["reason"] for event in read_events(self.layout.events)]

    def log(self) -> str:
        return (self.layout.root / "gateway.log").read_text()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    layout = Layout(tmp_path_factory.mktemp("door"))
    authority = CertificateAuthority.create(layout.ca)
    authority.issue("server", "server", layout.server)
    (layout.server / "members").mkdir()
    for name in ("hospital-1", "hospital-2"):
        authority.issue(name, "client", layout.hospital(name))
        (layout.server / "members" / f"{name}.pem").write_text(f"KEY OF {name}")
    layout.crl.write_bytes(authority.crl_path.read_bytes())
    settings = {"max_message_bytes": LIMIT, "rounds": 1, "hospitals": [], "server_names": []}
    write_json(layout.settings, {**settings, "founded with": {}})
    layout.run.mkdir()
    command = [sys.executable, "-m", "helpers.federated.deployment.gateway", str(layout.root)]
    with (layout.root / "gateway.log").open("wb") as log:
        process = psutil.Popen([*command, "127.0.0.1", "0"], stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: read_json(layout.state("gateway")) or process.poll(), "the gateway to listen")
        assert process.poll() is None, (layout.root / "gateway.log").read_text()
        yield Door(layout, authority, process, read_json(layout.state("gateway"))["port"])
    finally:
        process.kill()
        process.wait()


def until(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


# -- strangers ----------------------------------------------------------------------------------


def test_hundreds_of_silent_strangers_do_not_keep_a_member_out(door: Door) -> None:
    before = len(door.reasons())
    silent = [socket.create_connection(("127.0.0.1", door.port), SECONDS) for _ in range(200)]
    try:
        assert door.greet() == "let in"
        until(
            lambda: any("the oldest was dropped" in why for why in door.reasons()[before:]),
            "a line about it in the log",
        )
        assert silent[0].recv(1) == b""
    finally:
        for one in silent:
            one.close()


def test_who_hangs_up_at_any_point_of_the_handshake_leaves_one_line_and_no_traceback(
    door: Door,
) -> None:
    context = probes.client_context(door.authority.root_path, door.identity())
    flights = probes.shake_hands(server_context(door.layout), context)
    hello = flights[0].data
    for length in (0, 1, 5, 100, len(hello) - 1, len(hello)):
        with socket.create_connection(("127.0.0.1", door.port), SECONDS) as raw:
            raw.sendall(hello[:length])

    def breaks(chunk: Chunk) -> bytes:
        """Spoil the last byte of the client's certificate flight."""
        if chunk.direction == "down" or chunk.data[0] == 0x16:
            return chunk.data
        return chunk.data[:-1] + bytes([chunk.data[-1] ^ 1])

    with Wiretap(port=door.port, alter=breaks) as tap:
        assert door.call(tap.address).startswith("UNAVAILABLE")
    until(lambda: any("handshake" in why for why in door.reasons()), "the refusal")
    assert door.greet() == "let in"
    assert "Traceback" not in door.log()


def test_a_recorded_connection_cannot_be_played_back(door: Door) -> None:
    with Wiretap(port=door.port) as tap:
        assert "starting" in door.call(tap.address)  # it got as far as the missing SuperLink
        up, down = tap.captured("up"), tap.captured("down")
    assert b"hospital-1" not in up + down, "certificates travel encrypted"
    assert b"Fleet" not in up + down
    assert probes.say(door.address, up).startswith("hung up")
    assert door.greet() == "let in"


# -- members ------------------------------------------------------------------------------------


def test_a_member_without_power_does_not_lock_itself_out(door: Door) -> None:
    """Its old connections are still open at the server when it comes back."""
    context = probes.client_context(door.authority.root_path, door.identity())
    dead = []
    try:
        for _ in range(12):
            raw = socket.create_connection(("127.0.0.1", door.port), SECONDS)
            dead.append(context.wrap_socket(raw, server_hostname="localhost"))
            dead[-1].sendall(probes.HTTP2_OPENING)
            assert dead[-1].recv(1)
        assert door.greet() == "let in"
        assert door.greet("hospital-2") == "let in"
    finally:
        for one in dead:
            one.close()
    assert any("too many connections" in why for why in door.reasons())


def test_who_sends_half_a_request_slowly_costs_a_connection_and_no_more(door: Door) -> None:
    context = probes.client_context(door.authority.root_path, door.identity())
    raw = socket.create_connection(("127.0.0.1", door.port), SECONDS)
    with context.wrap_socket(raw, server_hostname="localhost") as slow:
        slow.sendall(probes.HTTP2_OPENING[:20])
        cpu = sum(door.process.cpu_times()[:2])
        assert door.greet("hospital-2") == "let in"
        assert "starting" in door.call()
        assert sum(door.process.cpu_times()[:2]) - cpu < 5


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"body": bytes(LIMIT + 1)}, "RESOURCE_EXHAUSTED"),
        ({"public_key": bytes(20_000)}, "RESOURCE_EXHAUSTED"),
        ({"public_key": b"KEY OF hospital-2"}, "UNAUTHENTICATED"),
    ],
)
def test_a_member_that_oversteps_is_told_and_the_gateway_stays(
    door: Door, options: dict[str, bytes], answer: str
) -> None:
    settings = {"public_key": b"KEY OF hospital-1", "body": b"", **options}
    answered = door.call(public_key=settings["public_key"], body=settings["body"])
    assert answered.startswith(answer)
    assert "starting" in door.call()


def test_a_disk_that_is_full_neither_opens_nor_closes_the_door(door: Door) -> None:
    kept = door.layout.events.with_suffix(".kept")
    door.layout.events.rename(kept)
    door.layout.events.symlink_to("/dev/full")
    try:
        assert probes.say(door.address, b"GET / HTTP/1.1\r\n\r\n").startswith("hung up")
        assert door.call(public_key=b"KEY OF hospital-2").startswith("UNAUTHENTICATED")
        assert door.greet() == "let in"
    finally:
        door.layout.events.unlink()
        kept.rename(door.layout.events)
    assert door.process.is_running()
    assert "not logged: [Errno 28]" in door.log()


# -- the attacker's tools -----------------------------------------------------------------------


def test_a_wiretap_sees_and_passes_on_every_byte_both_ways(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Wiretap(port=server.getsockname()[1]) as tap,
        socket.create_connection(("127.0.0.1", tap.port), SECONDS) as client,
    ):
        behind, _ = server.accept()
        with behind:
            client.sendall(b"ping" * 50_000)
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: behind.recv(65_536), b""))
            behind.sendall(b"pong")
            behind.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b"pong"
    assert received == tap.captured("up") == b"ping" * 50_000
    assert tap.captured("down") == b"pong"


def test_a_wiretap_to_nowhere_hangs_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Wiretap(port=port) as tap, socket.create_connection(("127.0.0.1", tap.port), 30) as one:
        assert one.recv(1) == b""


def test_handshakes_in_memory_are_those_of_sockets(door: Door) -> None:
    mutual = probes.client_context(door.authority.root_path, door.identity())
    flights = probes.shake_hands(server_context(door.layout), mutual)
    assert [flight.sender for flight in flights] == ["client", "server", "client"]
    with Wiretap(port=door.port) as tap:
        assert probes.greet(tap.address, mutual) == "let in"
    assert abs(len(tap.chunks[0].data) - len(flights[0].data)) < 50
    assert abs(len(tap.chunks[1].data) - len(flights[1].data)) < 50
    rogue = CertificateAuthority.create(door.layout.root / "rogue")
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        probes.shake_hands(server_context(door.layout), probes.client_context(rogue.root_path))
