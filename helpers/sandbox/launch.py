"""Close the doors one after another, then become the untrusted program.

Runs as ``python -P -S -m helpers.sandbox.launch POLICY`` with the standard library alone. With
namespaces there are three processes: this one waits outside, its child is process 1 inside (when
it ends the kernel ends everything inside), and its grandchild becomes the untrusted program.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
from typing import Any

from helpers.sandbox import linux

REFUSED = 125  # exit status when a layer could not be put up
_NOBODY = 65534
# Not /dev/zero: mapped shared it is memory that no process shows, as in the table of system calls.
_DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")


def main(text: str) -> None:
    """Put up the layers that the policy (JSON) asks for, and run its command."""
    policy = json.loads(text)
    os.umask(0o077)
    with contextlib.suppress(OSError):
        os.nice(policy["niceness"])
    if policy["bubblewrap"]:  # it has done the rest of this
        alive, _hold = os.pipe()
        _inside(policy, alive, os.open(os.devnull, os.O_RDWR))
    try:
        if policy["namespaces"]:
            _enter_namespaces()
        else:
            linux.adopt_orphans()
    except OSError as error:
        _refuse(error)
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != policy["parent"]:
        os._exit(REFUSED)
    alive, hold = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)  # now: the file tree will be another one
    child = os.fork()
    if child:
        os.close(alive)
        _let_go(null)
        status = os.waitpid(child, 0)[1]
        if not policy["namespaces"]:  # where ending process 1 ends all the others
            _end_orphans()
        _exit_like(status)
    os.close(hold)
    _inside(policy, alive, null)


def _inside(policy: dict[str, Any], alive: int, null: int) -> None:
    """Finish the sandbox as its first process, and start the program."""
    try:
        if policy["namespaces"] and not policy["bubblewrap"]:
            _build_root(policy)
        _set_limits(policy)
        if policy["landlock"]:
            # As the present user, who may open the paths; the rules then hold for the next one.
            # The tree that was built here holds nothing that may not be listed.
            inside = policy["namespaces"]
            readable = [*policy["readable"], *(["/proc"] if inside else [])]
            listable = ["/"] if inside else []
            linux.landlock(_present(readable), _writable(policy), listable, tcp=inside)
        linux.empty_bounding_set()
        if policy["namespaces"]:
            _become_nobody()
        linux.give_up_capabilities()
        linux.die_with_parent(signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:  # the outer process died before that line
            os._exit(REFUSED)
        if policy["seccomp"]:
            linux.filter_system_calls()
        os.chdir(policy["folder"])
    except OSError as error:
        _refuse(error)
    program = os.fork()
    if not program:
        _become(policy)
    _let_go(null)
    while True:  # reap whatever is left behind until the program itself ends
        ended, status = os.wait()
        if ended == program:
            _exit_like(status)


def _become(policy: dict[str, Any]) -> None:
    os.setsid()
    linux.die_with_parent(signal.SIGKILL)
    os.closerange(3, 4096)
    try:
        os.execve(policy["command"][0], policy["command"], policy["environment"])
    except OSError as error:
        _refuse(error)


def _let_go(null: int) -> None:
    """Drop the program's pipes, so that their other ends notice when it closes them."""
    for number in (0, 1, 2):
        os.dup2(null, number)


def _enter_namespaces() -> None:
    """Enter new user, mount, network, IPC, host name and process namespaces.

    Root maps itself, to read what the program is to be given, and nobody, to become it; another
    user can map only itself.
    """
    user, group = os.geteuid(), os.getegid()
    privileged = user == 0
    rows = [(0, 0), (_NOBODY, _NOBODY)] if privileged else None
    if privileged:
        os.setgroups([])
    ready, go = os.pipe()
    helper = 0
    if privileged:  # only a process outside may map more than one user
        parent, helper = os.getpid(), os.fork()
        if not helper:
            os.close(go)
            os.read(ready, 1)
            code = 0
            try:
                _write_maps(f"/proc/{parent}", rows or [], rows or [])
            except OSError:
                code = 1
            os._exit(code)
    linux.unshare(linux.CLONE_NEWUSER)
    if privileged:
        os.write(go, b"\n")
        if os.waitpid(helper, 0)[1]:
            raise OSError(1, "user namespace: its users cannot be mapped")
    else:
        with open("/proc/self/setgroups", "w") as file:  # noqa: PTH123
            file.write("deny")
        _write_maps("/proc/self", [(_NOBODY, user)], [(_NOBODY, group)])
    os.close(ready)
    os.close(go)
    linux.unshare(
        linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
        | linux.CLONE_NEWPID | linux.CLONE_NEWCGROUP
    )  # fmt: skip
    linux.raise_loopback()


def _write_maps(process: str, users: list[tuple[int, int]], groups: list[tuple[int, int]]) -> None:
    for name, rows in (("uid_map", users), ("gid_map", groups)):
        with open(f"{process}/{name}", "w") as file:  # noqa: PTH123
            file.write("".join(f"{inside} {outside} 1\n" for inside, outside in rows))


def _become_nobody() -> None:
    if os.geteuid() != _NOBODY:
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _build_root(policy: dict[str, Any]) -> None:
    """Make a file tree of the readable paths alone, with a small private folder and nothing else.

    The order is bubblewrap's: an empty tree becomes the root with the real one below it, the
    final tree is put together beside that, and becomes the root in turn.
    """
    flags = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", "/tmp", "tmpfs", flags, "mode=755,size=1m")
    os.mkdir("/tmp/new", 0o755)  # noqa: PTH102
    os.mkdir("/tmp/old", 0o755)  # noqa: PTH102
    linux.pivot_root("/tmp", "/tmp/old")
    os.chdir("/")
    linux.mount("tmpfs", "/new", "tmpfs", flags, "mode=755,size=1m")
    for path in _present([*sorted(policy["readable"]), *_DEVICES], "/old"):
        _bind(path)
    for path in ("/new/proc", "/new/dev/shm", f"/new{policy['folder']}"):
        _make_folder(path)
    if not os.path.lexists("/new/tmp"):  # unless something readable lies there
        os.symlink(policy["folder"], "/new/tmp")  # noqa: PTH211
    with contextlib.suppress(OSError):  # inside a container that masks parts of its own /proc
        linux.mount("proc", "/new/proc", "proc", flags | linux.MS_NOEXEC)
    linux.make_read_only("/new")
    _private(f"/new{policy['folder']}", policy["disk"], policy["folder"])
    _private("/new/dev/shm", policy["shared_memory"], "/dev/shm")
    os.chdir("/new")
    linux.pivot_root(".", ".")
    linux.detach(".")
    os.chdir("/")
    os.umask(0o022)


def _bind(path: str) -> None:
    source, target = f"/old{path}", f"/new{path}"
    if os.path.islink(source):  # noqa: PTH114
        _make_folder(os.path.dirname(target))  # noqa: PTH120
        if not os.path.lexists(target):
            os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
        return
    if os.path.isdir(source):  # noqa: PTH112
        _make_folder(target)
    else:
        _make_folder(os.path.dirname(target))  # noqa: PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)


def _make_folder(path: str) -> None:
    before = os.umask(0o022)
    os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103
    os.umask(before)


def _private(target: str, size: int, name: str) -> None:
    owner = f",uid={_NOBODY},gid={_NOBODY}"
    try:
        linux.mount(
            "tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV,
            f"mode=700,size={size},nr_inodes=20000{owner}",
        )  # fmt: skip
    except OSError as error:
        raise OSError(error.errno, f"private folder {name}: {error.strerror}") from None


def _present(paths: list[str], below: str = "") -> list[str]:
    return [path for path in paths if os.path.lexists(below + path)]


def _writable(policy: dict[str, Any]) -> list[str]:
    return [policy["folder"], *_present(["/dev/shm", *_DEVICES])]


def _set_limits(policy: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_AS: policy["memory"],
        resource.RLIMIT_FSIZE: policy["file_size"],
        resource.RLIMIT_NOFILE: policy["open_files"],
        resource.RLIMIT_CPU: policy["cpu_seconds"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if policy["namespaces"]:  # else it would count the user's other processes too
        limits[resource.RLIMIT_NPROC] = policy["processes"]
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _end_orphans() -> None:
    """End, one generation after the other, what the program has left to us."""
    own = f"/proc/self/task/{os.getpid()}/children"
    while True:
        with open(own) as file:  # noqa: PTH123
            children = [int(word) for word in file.read().split()]
        if not children:
            return
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def _exit_like(status: int) -> None:
    """End as the child did: a signal becomes 128 + its number, as in a shell."""
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _refuse(error: OSError) -> None:
    sys.stderr.write(f"sandbox: {error.strerror or error}\n")
    sys.stderr.flush()
    os._exit(REFUSED)


if __name__ == "__main__":
    main(sys.argv[1])
