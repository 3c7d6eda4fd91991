"""A program in the sandbox: what it can do, what it cannot, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.errors import SandboxError
from helpers.sandbox import Layers, Limits, Sandbox, bubblewrap, probes, process, run
from helpers.sandbox.limits import MB
from helpers.sandbox.probes import PROBES, available, try_to_break
from helpers.sandbox.process import descendants

SMALL = Limits(seconds=20, group_memory=200 * MB, processes=16, disk=4 * MB)


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


@pytest.mark.parametrize(
    "layers",
    [
        Layers(),
        pytest.param(
            Layers(bubblewrap=True),
            marks=pytest.mark.skipif(not bubblewrap.installed(), reason="bwrap is not installed"),
        ),
    ],
    ids=["own namespaces", "bubblewrap"],
)
def test_every_attempt_to_break_it_fails(layers: Layers) -> None:
    findings = list(try_to_break(layers))
    assert len(findings) == len(PROBES) >= 20
    broken = {f.attempt: f.note for f in findings if not f.held}
    if layers.bubblewrap and os.geteuid() == 0:  # whose processes the kernel does not limit
        broken.pop("start processes without end", None)
    assert broken == {}


def test_the_attempts_succeed_where_nothing_holds_them() -> None:
    """A probe that could not tell a sandbox from none would prove nothing."""
    broken = {f.attempt for f in try_to_break(Layers(False, False, False)) if not f.held}
    assert {
        "read a file of yours",
        "list your folder",
        "write into your folder",
        "connect over TCP to this machine",
        "send a UDP packet to this machine",
        "connect to a Unix socket in your folder",
        "connect to an abstract Unix socket",
        "signal the process that started it",
        "fill the disk",
        "fill the shared memory",
        "take memory that belongs to no process",
        "keep shared memory that no process shows",
        "keep such memory by a device",
    } <= broken


def test_each_layer_holds_files_by_itself() -> None:
    """Landlock is a second wall behind the file tree of the namespaces, not an ornament."""
    secret = Path(__file__).resolve()
    code = python(f"open({str(secret)!r}).read()")
    for layers in (Layers(landlock=False, seccomp=False), Layers(namespaces=False, seccomp=False)):
        end = run(code, limits=SMALL, layers=layers)
        assert end.status == 1
        assert "No such file" in end.errors or "Permission denied" in end.errors


def test_bytes_travel_as_they_are_and_are_waited_for_only_so_long() -> None:
    content = bytes(range(256)) * 1000
    code = python("import os\nwhile part := os.read(0, 999): os.write(1, part)")
    with Sandbox(code, limits=SMALL) as box:
        box.write(content[:2000], 10)
        assert box.read(500, 10) == content[:500]
        assert box.read(1000, 10) == content[500:1500]
        with pytest.raises(SandboxError, match="did not answer in time"):
            box.read(10_000, 0.5)


def test_this_machine_has_every_layer() -> None:
    layers, problems = available()
    assert problems == {}
    assert layers.missing == ()


def test_bubblewrap_stands_in_where_namespaces_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def problem(layers: Layers) -> str:
        tried.append(layers)
        return "" if layers.bubblewrap or not layers.namespaces else "Operation not permitted"

    monkeypatch.setattr(probes, "_problem", problem)
    monkeypatch.setattr(bubblewrap, "installed", lambda: "/usr/bin/bwrap")
    assert available() == (Layers(bubblewrap=True), {})
    assert tried[-1].bubblewrap
    monkeypatch.setattr(bubblewrap, "installed", lambda: None)
    setting = tmp_path / "apparmor"
    monkeypatch.setattr(probes, "APPARMOR", setting)
    assert available() == (Layers(namespaces=False), {"namespaces": "Operation not permitted"})
    setting.write_text("1\n")
    assert "sudo sysctl kernel.apparmor_restrict" in available()[1]["namespaces"]


def test_lines_go_in_and_out() -> None:
    with Sandbox(python("for n in range(2): print(input()[::-1])"), limits=SMALL) as box:
        box.send(b"abc", 5)
        assert box.receive(10, 100) == b"cba"
        box.send("äö".encode(), 5)
        assert box.receive(10, 100) == "öä".encode()
        with pytest.raises(SandboxError, match="it ended by itself with exit status 0"):
            box.receive(10, 100)


def test_it_reads_what_it_is_given_and_writes_in_its_own_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "model.tflite").write_text("weights")
    code = (
        f"print(open({str(tmp_path / 'model.tflite')!r}).read())\n"
        "open('mine', 'w').write('x')\nimport os\nprint(os.listdir('.'))\n"
        f"open({str(tmp_path / 'model.tflite')!r}, 'w')"
    )
    end = run(python(code), readable=[tmp_path], limits=SMALL)
    assert end.output == b"weights\n['mine']"
    assert "Read-only file system" in end.errors or "Permission denied" in end.errors
    assert (tmp_path / "model.tflite").read_text() == "weights"


def test_it_talks_to_itself_over_its_own_loopback() -> None:
    code = (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(s.getsockname()).send(b'hello')\nprint(s.accept()[0].recv(9))"
    )
    assert run(python(code), limits=SMALL).output == b"b'hello'"


@pytest.mark.parametrize(
    ("code", "limits", "reason"),
    [
        ("while True: pass", Limits(seconds=1), "more than 1 s"),
        (
            "import os\nwhile True: os.write(2, bytes(1 << 20))",
            Limits(output=2 * MB),
            "standard er",
        ),
        ("import os\nos.close(1)\nimport time\ntime.sleep(60)", SMALL, "closed its pipe"),
        ("print('x' * 5000)", SMALL, "more than one message may hold"),
        ("import os\nos.kill(os.getpid(), 11)", SMALL, "SIGSEGV"),
        ("import os\nos._exit(3)", SMALL, "exit status 3"),
    ],
    ids=["time", "errors", "silence", "long line", "crash", "exit"],
)
def test_how_it_ended_is_said(code: str, limits: Limits, reason: str) -> None:
    with (
        Sandbox(python(code), limits=limits) as box,
        pytest.raises(SandboxError, match=reason),
    ):
        box.receive(15, 1000)


def test_processes_are_counted_from_outside_where_the_kernel_does_not() -> None:
    code = "import os, time\nfor _ in range(12): os.fork() or time.sleep(20)\ntime.sleep(20)"
    end = run(python(code), limits=replace(SMALL, processes=6), layers=Layers(namespaces=False))
    assert end.ending == "it started more than 6 processes"


@pytest.mark.parametrize("code", [probes._NOT_TEXT, probes._LIKE_A_LINE])
def test_a_name_does_not_hide_memory(code: str) -> None:
    assert process.MEMORY_ENDING in run(python(code), limits=SMALL).ending


def test_what_cannot_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(process: int) -> int:
        raise ValueError

    monkeypatch.setattr(process, "_memory", unreadable)
    end = run(python("import time; time.sleep(60)"), limits=SMALL)
    assert end.ending == "it could not be watched (ValueError)"


def test_memory_in_sockets_is_bounded_by_the_files_that_are_open() -> None:
    code = (
        "import os, time\nheld = [os.open('/dev/null', 0) for _ in range(30)]\n"
        "for _ in range(4): os.fork() or time.sleep(20)\ntime.sleep(20)"
    )
    end = run(python(code), limits=replace(SMALL, group_files=100))
    assert end.ending == "its processes held more than 100 files open"


def test_a_socketpair_is_left_and_a_servers_options() -> None:
    code = (
        "import socket\na, b = socket.socketpair()\na.send(b'hello')\n"
        "s = socket.socket()\ns.setsockopt(1, 2, 1)\ns.setsockopt(6, 1, 1)\nprint(b.recv(9))"
    )
    assert run(python(code), limits=SMALL).output == b"b'hello'"


def test_a_program_that_does_not_read_does_not_block_us() -> None:
    with Sandbox(python("import time; time.sleep(60)"), limits=SMALL) as box:
        started = time.monotonic()
        with pytest.raises(SandboxError, match="did not answer in time"):
            box.send(bytes(10 * MB), 0.5)
        assert time.monotonic() - started < 10


def test_closing_it_ends_everything_that_was_started_however_it_hid() -> None:
    code = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if not os.fork():\n        os.setsid()\n        if os.fork(): os._exit(0)\n"
        "        os.kill(os.getpid(), 19)\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    for layers in (Layers(), Layers(namespaces=False)):
        with Sandbox(python(code), limits=SMALL, layers=layers) as box:
            assert box.receive(10, 100) == b"ready"
            time.sleep(0.3)
            inside = descendants(box._process.pid)
            assert len(inside) >= 5
        assert [pid for pid in inside if Path(f"/proc/{pid}").exists()] == []


def test_it_dies_with_a_parent_that_is_killed() -> None:
    code = (
        "import sys\nfrom helpers.sandbox import Sandbox\n"
        "program = 'import time; print(1, flush=True); time.sleep(60)'\n"
        "box = Sandbox([sys.executable, '-S', '-c', program])\n"
        "box.receive(10, 10)\nprint('up', flush=True)\nbox.receive(60, 10)"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    inside = descendants(parent.pid)
    assert len(inside) >= 3
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in inside) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in inside)


def _runs(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_an_ordinary_user_needs_no_privilege_for_it() -> None:
    """Seen from a user namespace of one user, who is not root there and may map only itself."""
    code = (
        "import os, sys\nfrom helpers.sandbox import run\nassert os.getuid() == 1000\n"
        "print(run([sys.executable, '-S', '-c', 'import os; print(os.getuid())']).output)"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, "-c", code],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("b'65534'\n", "")


def test_limits_and_paths_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="limit disk is 0; it must be more than 0"):
        Limits(disk=0)
    with pytest.raises(SandboxError, match="does not exist, so it cannot be given"):
        Sandbox(python("1"), readable=[tmp_path / "nothing"])
    tmp_path.chmod(0o700)
    if os.geteuid() == 0:
        with pytest.raises(SandboxError, match="is for its owner alone"):
            Sandbox(python("1"), readable=[tmp_path])


def test_the_environment_does_not_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    code = "import os, sys; sys.stdout.write(str(sorted(os.environ)))"
    end = run(python(code), environment={"A": "1"}, limits=SMALL)
    assert b"API_TOKEN" not in end.output
    assert b"'A'" in end.output
    assert os.environ["API_TOKEN"] == "secret"
