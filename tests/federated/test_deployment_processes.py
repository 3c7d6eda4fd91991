"""Real processes, real sockets: an honest majority, an attacker inside, attackers outside.

Everything waits for what really happened (files, process states) with generous limits; no test
asserts a time.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from helpers.cli.federate import command
from helpers.federated import History
from helpers.federated.deployment import (
    CertificateAuthority,
    Consortium,
    probes,
)
from helpers.federated.deployment.founding import Settings, make_node_key, plan
from helpers.federated.deployment.layout import Layout, read_events, read_json
from helpers.federated.deployment.lies import APP, LIES, plan_lies
from helpers.federated.deployment.reports import final_weights
from helpers.federated.vectorised import VectorisedEngine

SECONDS = 150.0
# What the fourth hospital does in each round; it is honest in the first, and takes a lie that is
# in order, which nothing here refuses, no part in.
ROUNDS = dict(enumerate(["", *(lie for lie, refusal in LIES.items() if refusal)], start=1))
FOUNDED: dict[str, Any] = {
    "clients": 4,
    "rounds": len(ROUNDS),
    "seed": 3,
    "deadline": 15.0,
    "quorum": 2,
}


def until(ready: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.2)


def recomputed(settings: dict, history: History) -> list[np.ndarray]:
    """What the in-process engine makes of the rounds, with the clients that were counted."""
    hospitals, task = plan(Settings(**settings))
    engine = VectorisedEngine(task.federated_task(hospitals.clients, hospitals.test))
    for number, record in enumerate(history.records, start=1):
        assert record.round == number
        assert len(set(record.clients)) == len(record.clients)
        loss = engine.train(number, np.array(record.clients))
        assert record.train_loss == pytest.approx(loss, abs=1e-4)
    return engine.weights


def assert_equals_in_process(settings: dict, history: History) -> None:
    for ours, theirs in zip(history.weights, recomputed(settings, history), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


# -- one deployment, an attacker among its members ----------------------------------------------


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Four hospitals in training, the fourth of which lies."""
    running = Consortium(
        tmp_path_factory.mktemp("consortium"),
        apps={"hospital-4": APP},
        **FOUNDED,
    )
    plan_lies(running.layout.hospital("hospital-4"), ROUNDS)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def finished(consortium: Consortium) -> History:
    """The history of the whole run."""
    return consortium.wait(SECONDS)


def knocked(consortium: Consortium, folder: Path, node_key: Path | None = None) -> str:
    root = consortium.layout.ca / "root.pem"
    return probes.knock(consortium.address, root, folder, node_key)


def refused(consortium: Consortium, reason: str) -> bool:
    return any(reason in line["reason"] for line in consortium.refusals())


def test_a_stranger_without_a_certificate_is_refused(
    consortium: Consortium, tmp_path: Path
) -> None:
    assert knocked(consortium, tmp_path).startswith("UNAVAILABLE")
    until(lambda: refused(consortium, "PEER_DID_NOT_RETURN_A_CERTIFICATE"), "the refusal")


def test_an_expired_certificate_is_refused(consortium: Consortium, tmp_path: Path) -> None:
    authority = CertificateAuthority.open(consortium.layout.ca)
    authority.issue("hospital-1", "client", tmp_path, days=-1)
    assert knocked(consortium, tmp_path).startswith("UNAVAILABLE")
    until(lambda: refused(consortium, "certificate has expired"), "the refusal")


def test_a_certificate_of_another_authority_is_refused(
    consortium: Consortium, tmp_path: Path
) -> None:
    rogue = CertificateAuthority.create(tmp_path / "ca")
    rogue.issue("hospital-1", "client", tmp_path / "h")
    before = len(consortium.refusals())
    assert knocked(consortium, tmp_path / "h").startswith("UNAVAILABLE")
    until(lambda: len(consortium.refusals()) > before, "the refusal")


def test_a_genuine_certificate_does_not_carry_another_nodes_key(
    consortium: Consortium, tmp_path: Path
) -> None:
    """A hospital that stole another's node key cannot use it under its own certificate."""
    layout = consortium.layout
    theirs = layout.server / "members" / "hospital-2.pem"
    answer = knocked(consortium, layout.hospital("hospital-1"), theirs)
    assert answer == "UNAUTHENTICATED: the node's key is not the one registered for hospital-1"
    CertificateAuthority.open(layout.ca).issue("hospital-9", "client", tmp_path)
    assert knocked(consortium, tmp_path, theirs) == "UNAUTHENTICATED: hospital-9 is not a member"


def test_flower_itself_refuses_a_key_that_is_not_registered(
    consortium: Consortium, tmp_path: Path
) -> None:
    """The next layer, reached from the server's own machine past the gateway."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    from flwr.client.grpc_rere_client.node_auth_client_interceptor import NodeAuthClientInterceptor
    from flwr.proto.fleet_pb2 import ActivateNodeRequest
    from flwr.proto.fleet_pb2_grpc import FleetStub
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    layout = consortium.layout
    consortium.wait_for("round started", SECONDS)
    make_node_key(tmp_path)
    key = load_ssh_private_key((tmp_path / "node.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    port = read_json(layout.state("superlink"))["fleet"]
    credentials = grpc.ssl_channel_credentials((layout.ca / "root.pem").read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        signs = NodeAuthClientInterceptor(key, key.public_key())
        stub = FleetStub(grpc.intercept_channel(channel, signs))
        public = public_key_to_bytes(key.public_key())
        with pytest.raises(grpc.RpcError) as caught:
            stub.ActivateNode(ActivateNodeRequest(public_key=public, heartbeat_interval=30))
    assert "No SuperNode found with the given public key" in str(caught.value)


@pytest.mark.parametrize(
    "opening", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01\xff\xff" * 99]
)
def test_plain_text_and_noise_are_hung_up_on(consortium: Consortium, opening: bytes) -> None:
    host, port = consortium.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(opening)
        answer = b"-"
        while answer:  # a TLS alert may come first
            try:
                answer = raw.recv(4096)
            except ConnectionResetError:
                break
            assert b"HTTP" not in answer
    assert consortium.is_alive("gateway")


def test_who_says_nothing_is_hung_up_on(consortium: Consortium) -> None:
    host, port = consortium.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        assert raw.recv(1) == b""


def test_a_node_cannot_call_what_no_node_needs(consortium: Consortium) -> None:
    folder = consortium.layout.hospital("hospital-1")
    credentials = grpc.ssl_channel_credentials(
        *((folder / name).read_bytes() for name in ("root.pem", "tls.key", "tls.pem"))
    )
    with grpc.secure_channel(consortium.address, credentials) as channel:
        for method in ("/flwr.proto.Fleet/RegisterNode", "/flwr.proto.Control/StartRun"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(b"", timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_everything_but_the_gateway_listens_on_loopback_and_no_node_holds_tensorflow(
    consortium: Consortium,
) -> None:
    consortium.wait_for("round started", SECONDS)
    names = ["server", *consortium.hospitals]
    processes = [psutil.Process(pid) for name in names for pid in consortium.pids(name)]
    assert len(processes) >= 2 + 2 * len(consortium.hospitals)
    for process in processes:
        try:
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        except (FileNotFoundError, psutil.NoSuchProcess):
            continue  # the ServerApp of a run that has ended
        assert "tensorflow" not in maps
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} <= {"127.0.0.1"}


def test_each_lie_is_refused_for_what_it_is_and_training_goes_on(
    consortium: Consortium, finished: History
) -> None:
    reasons = {e["round"]: e["reason"] for e in consortium.rejections()}
    names = {e["node"] for e in consortium.rejections()}
    assert names == {"hospital-4"}
    for number, lie in ROUNDS.items():
        assert reasons.get(number) == LIES.get(lie), lie
        expected = (0, 1, 2) if lie else (0, 1, 2, 3)
        assert finished.records[number - 1].clients == expected
    assert finished.records[-1].test_accuracy > 0.9  # type: ignore[operator]


def test_the_weights_are_those_of_the_in_process_engine(
    consortium: Consortium, finished: History
) -> None:
    assert_equals_in_process(FOUNDED, finished)
    for saved, weight in zip(final_weights(consortium.layout), finished.weights, strict=True):
        np.testing.assert_array_equal(saved, weight)
    stored = read_json(consortium.layout.history)
    assert [record["round"] for record in stored] == list(ROUNDS)


def test_a_revoked_hospital_is_out_at_once_and_the_others_stay(
    consortium: Consortium, finished: History
) -> None:
    consortium.revoke("hospital-2")
    # On an open connection the next request is refused, and the node ends. One that is just
    # connecting is refused in the handshake, takes the server for one that is away, and knocks on.
    until(
        lambda: (
            refused(consortium, "handshake: certificate revoked")
            or not consortium.is_alive("hospital-2")
        ),
        "the end of hospital-2",
    )
    assert refused(consortium, "certificate revoked")
    folder = consortium.layout.hospital("hospital-2")
    own = consortium.layout.server / "members" / "hospital-2.pem"
    assert knocked(consortium, folder, own).startswith("UNAVAILABLE")
    assert consortium.is_alive("hospital-1")
    assert consortium.is_alive("hospital-3")


# -- killed at random times ---------------------------------------------------------------------


def test_hosts_killed_at_random_change_nothing_but_who_took_part(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "clients": 3, "rounds": 10, "seed": 1, "deadline": 8.0, "quorum": 1, "hidden": (8,),
    }  # fmt: skip
    rng = np.random.default_rng(7)
    with Consortium(tmp_path, **settings) as consortium:
        # A hospital in the middle of a round, at a time that the seed draws.
        consortium.wait_for("round started", SECONDS, round=2)
        time.sleep(float(rng.uniform(0, 0.3)))
        consortium.kill("hospital-1")
        consortium.restart("hospital-1")
        consortium.wait_for_hospital("hospital-1", SECONDS)
        # The whole server, likewise; while it is away, a hospital freezes.
        consortium.wait_for_round(2, SECONDS)
        time.sleep(float(rng.uniform(0, 0.5)))
        consortium.kill("server")
        saved = consortium.round_number
        assert saved < 10
        assert consortium.status().processes["superlink"] == "killed"
        consortium.pause("hospital-3")
        assert consortium.status().processes["hospital-3"] == "paused"
        consortium.restart("server")
        missed = consortium.wait_for("update rejected", SECONDS, node="hospital-3")
        consortium.resume("hospital-3")
        history = consortium.wait(SECONDS)
    assert (missed["round"], missed["reason"]) == (saved + 1, "no answer")
    assert 2 not in history.records[saved].clients
    assert [record.round for record in history.records] == list(range(1, 11))
    assert_equals_in_process(settings, history)


# -- the command --------------------------------------------------------------------------------


def edgesec(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "helpers", "federate", *arguments, "--dir", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(folder.parent)},
    )  # fmt: skip


def test_a_hostile_line_in_a_log_does_not_reach_the_terminal(tmp_path: Path) -> None:
    layout = Consortium(tmp_path, clients=1).layout
    (layout.logs / "serverapp.log").write_text("\x1b[92mINFO\x1b[0m :\tok\n\x1b]0;owned\x07\r!\n")
    shown = CliRunner().invoke(command, ["logs", "serverapp", "--dir", str(tmp_path)]).output
    assert shown == "INFO :  ok\n?]0;owned?\n!\n"


def test_up_leaves_nothing_behind_when_it_is_killed_or_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    events = Layout(folder).events

    def sockets() -> list[Path]:
        return list(tmp_path.glob("edgesec-*"))

    def running() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(folder) in part for part in process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def rounds() -> int:
        return sum(event["event"] == "round done" for event in read_events(events))

    first = edgesec(folder, "up", "--clients", "1", "--rounds", "500")
    second = None
    try:
        until(lambda: rounds() >= 1, "the first round")
        assert len(running()) >= 5
        assert len(sockets()) == 1
        first.send_signal(signal.SIGKILL)
        first.wait()
        until(lambda: not running(), "the end of every process")
        done = rounds()
        second = edgesec(folder, "up")
        until(lambda: rounds() > done, "a round of the continued run")
        shown = edgesec(folder, "status").communicate(timeout=60)[0]
        assert "training: round" in shown
        assert "hospital-1   running" in shown
        stopped = edgesec(folder, "stop").communicate(timeout=60)[0]
        assert "Stopped." in stopped
        output = second.communicate(timeout=60)[0]
        assert second.returncode == 130
        assert "continues after the last finished round" in output
        assert "--server localhost:" in output
        until(lambda: not running(), "the end of every process")
        until(lambda: not sockets(), "the end of the gateways' sockets")
    finally:
        for process in (first, second):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for left in running():
            left.kill()
    log = edgesec(folder, "logs", "superlink").communicate(timeout=60)[0]
    assert "Flower SuperLink" in log or "PullMessages" in log
