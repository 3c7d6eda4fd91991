"""Try to break each layer of the sandbox, from inside, and say which ones hold.

Every probe is a small Python program that attempts one thing an untrusted program must not be
able to do. It is run in the sandbox, and what it prints, or what it reached out here, decides.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import SandboxError
from helpers.sandbox import bubblewrap
from helpers.sandbox.layers import NAMES, Layers
from helpers.sandbox.limits import MB, Limits
from helpers.sandbox.process import Sandbox, run

_TIGHT = Limits(
    seconds=10, processes=24, disk=8 * MB, file_size=6 * MB, shared_memory=MB,
    group_memory=256 * MB, memory=400 * MB,
)  # fmt: skip
_QUICK = Limits(seconds=1.0)
_SECRET = "EDGESEC_PROBE_SECRET"
APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_BROKEN = b"BROKEN"  # what a probe prints when it got through


@dataclass(frozen=True)
class Probe:
    """One attempt. `code` may use the names of :class:`Targets` in braces."""

    layer: str
    attempt: str
    code: str
    limits: Limits = _TIGHT
    must_be_ended: bool = False  # by the sandbox: it never ends by itself


@dataclass(frozen=True)
class Finding:
    """What came of a probe: whether the layer held, and a word on it where it did not."""

    layer: str
    attempt: str
    held: bool
    note: str = ""


@dataclass
class Targets:
    """Things out here that the probes try to reach."""

    secret: str
    folder: str
    tcp: int
    udp: int
    unix: str
    abstract: str
    process: int
    received: Callable[[], bool]


def _attempt(code: str) -> str:
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    return f"import os, socket, ctypes\ntry:\n{body}\n    print('BROKEN')\nexcept OSError: pass"


_PTRACE = """
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, {process}, None, None) and libc.ptrace(16, os.getppid(), None, None):
    raise OSError"""
_UNSHARE = """
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000): raise OSError"""
_SIGNAL = "os.kill({process}, 0)\nif os.getppid() != 0 and {process} <= 2: raise OSError"
_FORK_BOMB = """
import os, time
count = 0
try:
    while count < 200:
        if not os.fork():
            time.sleep(5)
            os._exit(0)
        count += 1
except OSError:
    pass
print('BROKEN' if count > 24 else count, flush=True)
os._exit(0)
"""
_HOARD = "held = []\nfor _ in range(64): held.append(bytearray({size}))\nprint('BROKEN')"
_MEMORY = f"try:\n    {_HOARD.format(size=16 * MB).replace(chr(10), chr(10) + '    ')}\nexcept "
_MEMORY += "MemoryError: pass"
_GROUP = f"""
import os, time
for _ in range(4):
    if not os.fork():
        held = [bytearray(b'x') * {100 * MB}]
        time.sleep(6)
        os._exit(0)
time.sleep(6)
print('BROKEN')
"""
_NAMED = """
import ctypes
ctypes.CDLL(None).prctl(15, NAME, 0, 0, 0)
"""
_NOT_TEXT = _NAMED.replace("NAME", r"b'\xff\xfe\xff'") + _GROUP
_LIKE_A_LINE = _NAMED.replace("NAME", r"b'\rRssAnon: x'") + _GROUP
_DISK = """
for number in range(40):
    with open(f'f{number}', 'wb') as file: file.write(bytes(1 << 20))"""
_SHARED = """
with open('/dev/shm/f', 'wb') as file: file.write(bytes(4 << 20))"""
_MEMFD = "os.memfd_create('x')"
_DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        for number in (0, 1, 2): os.close(number)
        time.sleep(4321)
"""

PROBES = (
    Probe("files", "read a file of yours", _attempt("open({secret!r}).read()")),
    Probe("files", "list your folder", _attempt("os.listdir({folder!r})")),
    Probe("files", "write into your folder", _attempt("open({folder!r} + '/x', 'w')")),
    Probe("files", "write into Python's packages", _attempt(
        "open(os.path.dirname(os.__file__) + '/x', 'w')")),
    Probe("files", "read the environment of your shell",
          f"import os\nprint('BROKEN' if {_SECRET!r} in os.environ else '')"),
    Probe("network", "connect over TCP to this machine", _attempt(
        "socket.create_connection(('127.0.0.1', {tcp}), 2)")),
    Probe("network", "send a UDP packet to this machine", _attempt(
        "socket.socket(2, 2).sendto(b'probe', ('127.0.0.1', {udp})); raise OSError")),
    Probe("network", "connect to a Unix socket in your folder", _attempt(
        "socket.socket(1).connect({unix!r})")),
    Probe("network", "connect to an abstract Unix socket", _attempt(
        "socket.socket(1).connect({abstract!r})")),
    Probe("network", "reach a virtual machine's host (vsock)", _attempt("socket.socket(40, 1)")),
    Probe("processes", "signal the process that started it", _attempt(_SIGNAL)),
    Probe("processes", "read the memory of another process", _attempt(_PTRACE)),
    Probe("processes", "leave a daemon behind", _DAEMON),
    Probe("privileges", "enter a new namespace as root", _attempt(_UNSHARE)),
    Probe("privileges", "become another user", _attempt("os.setuid(0)")),
    Probe("limits", "start processes without end", _FORK_BOMB),
    Probe("limits", "take 1 GB of memory in one process", _MEMORY),
    Probe("limits", "take 400 MB of memory in four processes", _GROUP, must_be_ended=True),
    Probe("limits", "the same under a name that is no text", _NOT_TEXT, must_be_ended=True),
    Probe("limits", "the same under a name like a line of its status", _LIKE_A_LINE,
          must_be_ended=True),
    Probe("limits", "take memory that belongs to no process", _attempt(_MEMFD)),
    Probe("limits", "keep shared memory that no process shows", _attempt(
        "import mmap; mmap.mmap(-1, 4096)")),
    Probe("limits", "keep such memory by a device", _attempt(
        "import mmap; mmap.mmap(os.open('/dev/zero', 2), 4096)")),
    Probe("limits", "queue for a Unix socket that accepts nobody", _attempt("socket.socket(1)")),
    Probe("limits", "widen what a socket may hold", _attempt(
        "socket.socketpair()[0].setsockopt(1, 7, 1 << 22)")),
    Probe("limits", "fill the disk", _attempt(_DISK)),
    Probe("limits", "fill the shared memory", _attempt(_SHARED)),
    Probe("limits", "run for ever", "while True: pass", _QUICK, must_be_ended=True),
    Probe("limits", "stop itself and wait", "import os; os.kill(os.getpid(), 19)", _QUICK,
          must_be_ended=True),
)  # fmt: skip


def try_to_break(layers: Layers | None = None) -> Iterator[Finding]:
    """Run every probe in a sandbox of these layers and yield what each found."""
    with _targets() as targets:
        for probe in PROBES:
            yield _run(probe, layers or Layers(), targets)


def _run(probe: Probe, layers: Layers, targets: Targets) -> Finding:
    code = probe.code
    for name, value in vars(targets).items():
        for form, text in (("{%s}", str(value)), ("{%s!r}", repr(value))):
            code = code.replace(form % name, text)
    end = run([sys.executable, "-c", code], limits=probe.limits, layers=layers)
    held = _BROKEN not in end.output and (
        bool(end.ending) or (end.status == 0 and not probe.must_be_ended)
    )
    held = held and not targets.received()
    if probe.code == _DAEMON:
        held = held and not _sleeper_runs()
    note = (
        "" if held else (end.ending or end.errors.strip().rpartition("\n")[2] or "it got through")
    )
    return Finding(probe.layer, probe.attempt, held, note)


def _sleeper_runs() -> bool:
    """Say whether the daemon of the probe is alive anywhere, and end it if so."""
    import psutil

    found = False
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = process.info["cmdline"] or []
        if any("time.sleep(4321)" in word for word in words) and "helpers" not in "".join(words):
            found = True
            process.kill()
    return found


@contextmanager
def _targets() -> Iterator[Targets]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="probe-")))
        secret = folder / "gradebook.csv"
        secret.write_text("secret")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "socket"))
        unix.listen()
        abstract = f"\0probe-{os.getpid()}"
        hidden = stack.enter_context(socket.socket(socket.AF_UNIX))
        hidden.bind(abstract)
        hidden.listen()
        udp.setblocking(False)

        def received() -> bool:
            try:
                return bool(udp.recv(16))
            except BlockingIOError:
                return False

        os.environ[_SECRET] = "1"
        stack.callback(os.environ.pop, _SECRET, None)
        yield Targets(
            str(secret), str(folder), tcp.getsockname()[1], udp.getsockname()[1],
            str(folder / "socket"), abstract, os.getpid(), received,
        )  # fmt: skip


def available() -> tuple[Layers, dict[str, str]]:
    """Return the layers this machine can put up, and why each of the others fails."""
    problems: dict[str, str] = {}
    if sys.platform != "linux":
        return Layers(False, False, False), dict.fromkeys(NAMES, "it exists on Linux alone")
    for name in NAMES:
        problem = _problem(Layers(False, False, False).with_(name))
        if problem:
            problems[name] = problem
    layers = Layers().without(*problems)
    if "namespaces" in problems and bubblewrap.installed():
        wrapped = Layers(landlock=False, seccomp=False, bubblewrap=True)
        problem = _problem(wrapped)
        if not problem:
            del problems["namespaces"]
            layers = layers.with_("namespaces", "bubblewrap")
        else:
            problems["namespaces"] += f"; with bubblewrap: {problem}"
    if "namespaces" in problems and _apparmor_keeps_namespaces():
        problems["namespaces"] += (
            "; AppArmor keeps them from programs of ordinary users here, until somebody runs "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    return layers, problems


def _apparmor_keeps_namespaces() -> bool:
    """Whether this system is set as Ubuntu is since 24.04."""
    try:
        return APPARMOR.read_text("ascii").strip() == "1"
    except (OSError, ValueError):
        return False


def refuse_missing(problems: Mapping[str, str], advice: str) -> None:
    """Raise SandboxError, with some advice, where :func:`available` had problems."""
    if problems:
        reasons = "; ".join(f"{name} ({problem})" for name, problem in problems.items())
        raise SandboxError(
            f"This machine cannot put up every layer of the sandbox: {reasons}. {advice}"
        )


def _problem(layers: Layers) -> str:
    try:
        with Sandbox([sys.executable, "-S", "-c", "print()"], limits=_TIGHT, layers=layers) as box:
            box.receive(10, 100)
    except SandboxError as error:
        return box.errors.strip() or str(error)
    except OSError as error:
        return f"{error.strerror}"
    return ""
