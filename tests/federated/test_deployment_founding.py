"""A consortium's folder: founded whole, continued as it was, and never by two at once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.errors import TaskError
from helpers.federated.checkpoint import Checkpoint, CheckpointFolder
from helpers.federated.deployment import (
    CertificateAuthority,
    Consortium,
    DeploymentError,
)
from helpers.federated.deployment.dense_task import DenseTask
from helpers.federated.deployment.founding import Settings, enrol, renew
from helpers.federated.deployment.layout import Layout
from helpers.federated.deployment.lies import APP, plan_lies
from helpers.federated.deployment.processes.common import work_alone
from helpers.federated.history import RoundRecord


def test_a_consortium_is_continued_only_with_its_own_settings(tmp_path: Path) -> None:
    Consortium(tmp_path, clients=2, rounds=3, seed=1)
    with pytest.raises(DeploymentError, match="another seed"):
        Consortium(tmp_path, seed=2)
    with pytest.raises(DeploymentError, match="cannot shorten"):
        Consortium(tmp_path, rounds=2)
    assert Consortium(tmp_path, rounds=5).settings["rounds"] == 5
    with pytest.raises(DeploymentError, match="No round is done"):
        Consortium(tmp_path).history()
    with pytest.raises(DeploymentError, match="no part of this consortium"):
        Consortium(tmp_path).kill("hospital-3")
    with pytest.raises(DeploymentError, match="apps names"):
        Consortium(tmp_path).restart("server", app=APP)
    with pytest.raises(DeploymentError, match="are no lies; there are: replay"):
        plan_lies(tmp_path, {1: "white"})
    layout = Layout(tmp_path)
    with pytest.raises(DeploymentError, match="exists and is not overwritten"):
        enrol(layout, CertificateAuthority.open(layout.ca), "hospital-1", 7)
    secret = {path.read_bytes() for path in tmp_path.rglob("*.key")}
    assert len(secret) == len(list(tmp_path.rglob("*.key"))) == 1 + 1 + 2 * 2


def test_a_consortium_may_move_and_names_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="host='a b' must be an address or a DNS name"):
        Consortium(tmp_path / "c", server_names=("a b",))
    assert not (tmp_path / "c").exists()
    first = Consortium(tmp_path / "c", clients=1, server_names=("fl.example",))
    assert first.settings["server_names"] == ["fl.example", "localhost", "127.0.0.1"]
    moved = Consortium(tmp_path / "c", port=4321, deadline=5.0)
    assert (moved.settings["port"], moved.settings["deadline"]) == (4321, 5.0)
    assert Consortium(tmp_path / "c").settings["port"] == 4321
    with pytest.raises(DeploymentError, match="routes names"):
        Consortium(tmp_path / "c", routes={"hospital-2": "127.0.0.1:1"})


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\x00"])
def test_damaged_settings_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "consortium.json").write_text(content)
    with pytest.raises(DeploymentError, match=r"consortium\.json is damaged"):
        Consortium(tmp_path)


def test_a_founding_that_was_interrupted_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.federated.deployment import founding

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(founding, "publish_crl", interrupt)
        with pytest.raises(KeyboardInterrupt):
            founding.found(tmp_path / "c", Settings(clients=1))
    assert (tmp_path / "c" / "ca" / "root.key").exists()
    with pytest.raises(DeploymentError, match="holds no consortium"):
        Layout(tmp_path / "c").read_settings()
    assert Consortium(tmp_path / "c", clients=1).hospitals == ["hospital-1"]


def test_two_processes_never_work_in_one_folder(tmp_path: Path) -> None:
    """The locks are held by another process here; a kill frees them, as the kernel does."""
    consortium = Consortium(tmp_path / "c", clients=1)
    layout = consortium.layout
    (tmp_path / "new").mkdir()
    locks = [layout.run / "lock", layout.server / "serverapp.lock", tmp_path / "new" / ".founding"]
    holds = (
        "import sys, time; from pathlib import Path; "
        "from helpers._files import take_lock; "
        "[take_lock(Path(p)) for p in sys.argv[1:]]; print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", holds, *map(str, locks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(DeploymentError, match="stop that one first"):
                consortium.start()
            with pytest.raises(SystemExit, match=r"serverapp\.lock: end that one first"):
                work_alone(locks[1])
            with pytest.raises(DeploymentError, match="Another process founds"):
                Consortium(tmp_path / "new", clients=1)
        finally:
            other.kill()
    work_alone(locks[1])
    assert Consortium(tmp_path / "new", clients=1).hospitals == ["hospital-1"]


@pytest.mark.filterwarnings("ignore:Checkpoint round-")
def test_rounds_of_which_no_checkpoint_can_be_read_are_not_trained_again(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, clients=1)
    folder = CheckpointFolder(
        consortium.layout.checkpoints, DenseTask.load(consortium.layout.server).fingerprint
    )
    record = RoundRecord(1, (0,), 9, 0.5, 0.9, 0.5, None, 8, 8, 0.1)
    for count in (1, 2):
        folder.save(Checkpoint([np.zeros(3)], [record] * count))
    for arrays in consortium.layout.checkpoints.glob("*.npz"):
        arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(TaskError, match="delete it to start again at round 1"):
        consortium.start()
    with pytest.raises(TaskError, match="None of the checkpoints"):
        consortium.history()
    consortium.stop()
    assert consortium.state_of("superlink") == "not started"


def test_stray_files_and_lines_do_not_stop_a_consortium(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, clients=1)
    consortium.layout.checkpoints.mkdir()
    (consortium.layout.checkpoints / "round-copy of 3.json").touch()
    assert consortium.round_number == 0
    lines = [b'{"time": 1, "event": "round done", "round": 2}', b'{"time": 2, "ev', b"\xff\xfe"]
    consortium.layout.events.write_bytes(
        b"\n".join([*lines, b"null", b"[1]", b'{"event": 1}', b""])
    )
    assert [event["event"] for event in consortium.events()] == ["round done"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    own = CertificateAuthority.create(tmp_path / "ca")
    with pytest.raises(DeploymentError, match="something else"):
        Consortium(tmp_path, clients=1)
    assert CertificateAuthority.open(tmp_path / "ca").root_path == own.root_path
    (tmp_path / "file").touch()
    with pytest.raises(DeploymentError, match="cannot be written to"):
        Consortium(tmp_path / "file", clients=1)


def test_certificates_that_run_out_are_renewed_except_revoked_ones(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, clients=2, certificate_days=0.5)
    consortium.revoke("hospital-2")
    layout = consortium.layout
    before = (layout.hospital("hospital-2") / "tls.pem").read_bytes()
    assert renew(layout) == ["server", "hospital-1"]
    assert (layout.hospital("hospital-2") / "tls.pem").read_bytes() == before
    fresh = Consortium(tmp_path / "other", clients=1)
    assert renew(fresh.layout) == []
