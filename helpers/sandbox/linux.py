"""The Linux system calls that the standard library does not offer, by :mod:`ctypes`.

Numbers and structures are those of the kernel's user-space headers (``linux/landlock.h``,
``linux/seccomp.h``, ``linux/mount.h``, ``asm/unistd_64.h``). Only x86-64 is supported: the
course's stack exists for no other. What the kernel refuses raises OSError, which names the call.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Sequence

_LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_ALL_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID
    | CLONE_NEWNET
)  # fmt: skip
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 1 << 18
_MNT_DETACH, _AT_FDCWD, _AT_RECURSIVE = 2, -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 1, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47
_SYS_CAPSET, _SYS_PIVOT_ROOT, _SYS_MOUNT_SETATTR = 126, 155, 442
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

# Landlock's rights over files; those beyond the thirteenth came with later versions of its ABI.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FIRST_RIGHTS, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_TCP_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3

# Ways out of, or into, a process that no notebook and no model needs; EPERM. memfd_create, shmget,
# the rules of a Landlock of its own, queues of the kernel's notices and rings for asynchronous
# input would hold memory that belongs to no process and so escapes a sum over processes.
_DENIED = {
    "shmget": 29, "semget": 64, "msgget": 68, "ptrace": 101, "syslog": 103, "modify_ldt": 154,
    "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167,
    "reboot": 169, "init_module": 175, "delete_module": 176, "quotactl": 179, "io_setup": 206,
    "mq_open": 240, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "unshare": 272, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fspick": 433, "pidfd_getfd": 438, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "memfd_secret": 447, "open_tree_attr": 467,
}  # fmt: skip
_CLONE, _CLONE3, _SOCKET, _SETSOCKOPT, _MMAP = 56, 435, 41, 54, 9
# Shared memory without a file stays whole while one page of it is mapped, and only the mapped pages
# count as a process's own: without this a program could hold all there is and show next to nothing.
_SHARED_ANONYMOUS = 0x01 | 0x20  # MAP_SHARED, MAP_ANONYMOUS
# Not AF_VSOCK, which reaches a virtual machine's host past every network namespace. Not AF_UNIX:
# connections that nobody accepts hold memory without end that belongs to no process and that,
# unlike TCP's, no setting of the kernel bounds. A socketpair is no way out, and remains.
_SOCKET_FAMILIES = (2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK
_BUFFER_OPTIONS = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, and both by force: the same memory
_SOL_SOCKET = 1
_AUDIT_ARCH_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *args: object) -> int:
    return _checked(_LIBC.syscall(ctypes.c_long(number), *args), what)


def _prctl(what: str, option: int, value: int = 0, more: int | ctypes.c_void_p = 0) -> None:
    arguments = (ctypes.c_ulong(value), more if more else ctypes.c_ulong(0))
    _checked(_LIBC.prctl(option, *arguments, ctypes.c_ulong(0), ctypes.c_ulong(0)), what)


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _checked(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system or bind a folder."""
    arguments = [source.encode(), target.encode(), kind.encode() if kind else None]
    result = _LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
    _checked(result, f"mount {target}")


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id programs."""
    attributes = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID
    _set_mount_attributes(target, attributes)


def _set_mount_attributes(target: str, attributes: int) -> None:
    record = struct.pack("QQQQ", attributes, 0, 0, 0)
    _syscall(
        f"mount_setattr {target}", _SYS_MOUNT_SETATTR, _AT_FDCWD, target.encode(),
        _AT_RECURSIVE, record, ctypes.c_size_t(len(record)),
    )  # fmt: skip


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of the file tree and put the old one at `old`."""
    _syscall("pivot_root", _SYS_PIVOT_ROOT, new.encode(), old.encode())


def detach(target: str) -> None:
    """Unmount a tree, now for new users and for good when the last one leaves."""
    _checked(_LIBC.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def die_with_parent(signal: int) -> None:
    """Have the kernel send `signal` when the parent dies. A change of user forgets this."""
    _prctl("die with parent", _PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl("subreaper", _PR_SET_CHILD_SUBREAPER, 1)


def empty_bounding_set() -> None:
    """Let no program started later have a capability."""
    with contextlib.suppress(OSError):  # past the last one, or without the right to do so
        for capability in range(64):
            _prctl("bounding set", _PR_CAPBSET_DROP, capability)


def give_up_capabilities() -> None:
    """Drop every capability and forbid regaining any."""
    with contextlib.suppress(OSError):
        _prctl("ambient capabilities", _PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    header = struct.pack("Ii", 0x20080522, 0)
    _syscall("capset", _SYS_CAPSET, header, bytes(24))
    _prctl("dumpable", _PR_SET_DUMPABLE, 0)
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


def landlock_version() -> int:
    """Return the version of Landlock's ABI, 0 where the kernel has none."""
    return max(0, int(_LIBC.syscall(ctypes.c_long(_SYS_LANDLOCK_CREATE), None, 0, 1)))


def raise_loopback() -> None:
    """Switch on 127.0.0.1 of a new network namespace: TensorFlow Federated talks to itself."""
    up, set_flags = 0x1 | 0x40, 0x8914  # IFF_UP | IFF_RUNNING, SIOCSIFFLAGS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, set_flags, struct.pack("16sH14x", b"lo", up))


def landlock(
    readable: Sequence[str], writable: Sequence[str], listable: Sequence[str], tcp: bool
) -> None:
    """Let this process, for good, read below some paths, write below others, and nothing else.

    Below `listable` it may also list folders. `tcp` says whether it may use TCP, as in a network
    namespace of its own it may.

    From version 4 of the ABI on TCP can be refused, from version 6 on it may
    not reach abstract sockets or signal processes outside.

    Raises
    ------
    OSError
        If the kernel does not have it, or refuses.
    """
    version = landlock_version()
    if not version:
        raise OSError(_ENOSYS, "landlock: the kernel does not have it")
    later = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
    rights = _FIRST_RIGHTS | sum(right for since, right in later if version >= since)
    handled = [rights]
    if version >= 4:
        handled.append(0 if tcp else _TCP_BIND_AND_CONNECT)
    if version >= 6:
        handled.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    record = struct.pack(f"{len(handled)}Q", *handled)
    rules = _syscall("landlock", _SYS_LANDLOCK_CREATE, record, ctypes.c_size_t(len(record)), 0)
    try:
        for path in readable:
            _allow(rules, path, (_EXECUTE | _READ_FILE | _READ_DIR) & rights)
        for path in writable:
            _allow(rules, path, rights)
        for path in listable:
            _allow(rules, path, _READ_DIR)
        _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)
        _syscall("landlock", _SYS_LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112  (pathlib is slow to import here)
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, handle)
        _syscall(f"landlock {path}", _SYS_LANDLOCK_ADD, rules, 1, rule, 0)
    finally:
        os.close(handle)


def filter_system_calls() -> None:
    """Refuse, for good, the calls in the table above, new namespaces and odd socket families.

    Raises
    ------
    OSError
        If there is no filter for this processor, or the kernel refuses.
    """
    if os.uname().machine != "x86_64":
        raise OSError(_ENOSYS, f"seccomp: no filter for {os.uname().machine} processors")
    program = b"".join(_filter())
    code = ctypes.create_string_buffer(program, len(program))
    record = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    pointer = ctypes.create_string_buffer(record, len(record))
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)
    address = ctypes.c_void_p(ctypes.addressof(pointer))
    _prctl("seccomp", _PR_SET_SECCOMP, 2, address)  # SECCOMP_MODE_FILTER


# Classic BPF: instructions, what they load from the record of a system call, and what they answer.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _KEEP_BITS, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD, _FOURTH = 0, 4, 16, 24, 32, 40
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return one instruction; a test skips so many of those that follow."""
    return struct.pack("HBBI", code, yes, no, value)


def _filter() -> list[bytes]:
    """Return the filter: each test falls through to the next, the last allows."""
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, _AUDIT_ARCH_X86_64, 1, 0),
        _line(_ANSWER, _KILL),
        _line(_LOAD, _NUMBER),
        _line(_AT_LEAST, _X32_BIT, 0, 1),
        _line(_ANSWER, _KILL),
        _line(_EQUAL, _CLONE3, 0, 1),  # its flags lie in memory, out of reach: the C library
        _line(_ANSWER, _ERROR | _ENOSYS),  # then falls back on clone
    ]
    for denied in sorted(_DENIED.values()):
        lines += [_line(_EQUAL, denied, 0, 1), _line(_ANSWER, _ERROR | _EPERM)]
    return [*lines, *_no_namespaces(), *_no_shared_memory(), *_no_buffers(), *_few_families()]


def _no_namespaces() -> list[bytes]:
    """Refuse ``clone`` with a flag of a new namespace."""
    return [
        _line(_EQUAL, _CLONE, 0, 3),
        _line(_LOAD, _FIRST),
        _line(_ANY_BIT, _ALL_NAMESPACES, 0, 1),
        _line(_ANSWER, _ERROR | _EPERM),
        _line(_LOAD, _NUMBER),
    ]


def _no_shared_memory() -> list[bytes]:
    """Refuse ``mmap`` of shared memory without a file."""
    return [
        _line(_EQUAL, _MMAP, 0, 5),
        _line(_LOAD, _FOURTH),
        _line(_KEEP_BITS, _SHARED_ANONYMOUS),
        _line(_EQUAL, _SHARED_ANONYMOUS, 0, 1),
        _line(_ANSWER, _ERROR | _EPERM),
        _line(_LOAD, _NUMBER),
    ]


def _no_buffers() -> list[bytes]:
    """Refuse ``setsockopt`` where it sizes a socket's buffers."""
    count = len(_BUFFER_OPTIONS)
    return [
        _line(_EQUAL, _SETSOCKOPT, 0, 5 + count),
        _line(_LOAD, _SECOND),
        _line(_EQUAL, _SOL_SOCKET, 0, 1 + count),
        _line(_LOAD, _THIRD),
        *(_line(_EQUAL, option, count - i, 0) for i, option in enumerate(_BUFFER_OPTIONS)),
        _line(_ANSWER, _ALLOW),
        _line(_ANSWER, _ERROR | _EPERM),
        _line(_LOAD, _NUMBER),
    ]


def _few_families() -> list[bytes]:
    """Refuse ``socket`` of all but a few families, and allow every other call."""
    count = len(_SOCKET_FAMILIES)
    return [
        _line(_EQUAL, _SOCKET, 0, 2 + count),
        _line(_LOAD, _FIRST),
        *(_line(_EQUAL, family, count - i, 0) for i, family in enumerate(_SOCKET_FAMILIES)),
        _line(_ANSWER, _ERROR | _EAFNOSUPPORT),
        _line(_ANSWER, _ALLOW),
    ]
