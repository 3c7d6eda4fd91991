"""Encrypt a model file for the way to the device, and say what that protects.

A sealed file is encrypted and authenticated with AES-256-GCM under a key that HKDF-SHA256 derives
from a secret, a fresh salt and the model's name: no two files share a key, and a file sealed for
one purpose does not open as another. What sealing does not do is the more important half: see
``PROTECTION``.
"""

from __future__ import annotations

import os
import secrets
import struct
from pathlib import Path
from typing import Literal, NamedTuple

from helpers._files import write_atomically
from helpers.errors import EdgeError

MAGIC = b"EDGESEAL"
VERSION = 1
SALT_BYTES, NONCE_BYTES, KEY_BYTES, TAG_BYTES = 16, 12, 32, 16
MIN_SECRET = 32
MAX_MODEL = 2**31 - 1
_HEADER = struct.Struct(f"<8sHH{SALT_BYTES}s{NONCE_BYTES}s")


class Protection(NamedTuple):
    """What sealing does against one attacker.

    Attributes
    ----------
    attacker
        Who, with what access.
    holds
        ``"yes"``, ``"no"`` or ``"partly"``.
    why
        The reason.
    """

    attacker: str
    holds: Literal["yes", "no", "partly"]
    why: str


PROTECTION = (
    Protection(
        "reads the file on a server, in an update or on a stolen memory card",
        "yes",
        "without the secret the file is noise",
    ),
    Protection(
        "changes the file",
        "yes",
        "the authentication tag fails and nothing is returned; it does not say who made the file, "
        "which a signature does",
    ),
    Protection(
        "puts an older sealed file of the same name back",
        "no",
        "the old file is authentic; put a version into the name and refuse older ones",
    ),
    Protection(
        "extracts the secret from one device",
        "partly",
        "all models sealed with that secret are open; give every device a secret of its own",
    ),
    Protection(
        "has code execution on the device, or a debugger",
        "no",
        "to run, the model is decrypted into ordinary memory; only hardware that keeps both key "
        "and computation inside (a trusted execution environment) changes that",
    ),
    Protection(
        "only asks the model questions",
        "no",
        "extraction by queries never touches the file",
    ),
)


def new_secret(path: str | os.PathLike[str]) -> Path:
    """Write a fresh random secret of 32 bytes, readable by its owner alone.

    Raises
    ------
    EdgeError
        If the file exists or cannot be written.
    """
    target = Path(path)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise EdgeError(f"{str(target)!r} exists; a secret is never written over.") from None
    except OSError as refused:
        raise EdgeError(f"{str(target)!r} cannot be written: {refused.strerror}.") from refused
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(MIN_SECRET))
    return target


def seal(model: bytes, secret: bytes, name: str) -> bytes:
    """Encrypt and authenticate a model.

    Parameters
    ----------
    model
        The file.
    secret
        At least 32 random bytes. A password is none: HKDF does not slow guessing down.
    name
        What the file is, such as ``"kws 1.4 for device 0042"``; it is bound to the file, not
        hidden, and must be given to open it.

    Returns
    -------
    bytes
        Header, ciphertext and tag; 56 bytes longer than the model.

    Raises
    ------
    EdgeError
        If the secret is short, the name is empty, or the model is too large.

    References
    ----------
    RFC 5869 (HKDF); NIST SP 800-38D (GCM).
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(model) > MAX_MODEL:
        raise EdgeError(f"The model has {len(model):,} bytes; at most {MAX_MODEL:,} are sealed.")
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = _HEADER.pack(MAGIC, VERSION, 0, salt, nonce)
    return header + AESGCM(_key(secret, salt, name)).encrypt(nonce, model, header)


def open_sealed(sealed: bytes, secret: bytes, name: str) -> bytes:
    """Decrypt a sealed model, or return nothing at all.

    Parameters
    ----------
    sealed
        What :func:`seal` returned.
    secret, name
        As they were given to :func:`seal`.

    Returns
    -------
    bytes
        The model.

    Raises
    ------
    EdgeError
        If the file is no sealed model, was changed, or belongs to another secret or name. Which of
        the last three it was cannot be told apart, by design.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < _HEADER.size + TAG_BYTES or sealed[:8] != MAGIC:
        raise EdgeError("The file is no sealed model.")
    header, content = sealed[: _HEADER.size], sealed[_HEADER.size :]
    _, version, _, salt, nonce = _HEADER.unpack(header)
    if version != VERSION:
        raise EdgeError(f"The file is sealed in version {version}; only {VERSION} is known.")
    try:
        return AESGCM(_key(secret, salt, name)).decrypt(nonce, content, header)
    except InvalidTag:
        raise EdgeError(
            "The sealed model does not open: it was changed, or the secret or the name is another."
        ) from None


def read_secret(path: str | os.PathLike[str]) -> bytes:
    """Read a secret that :func:`new_secret` wrote.

    Raises
    ------
    EdgeError
        If the file cannot be read, or is readable by others than its owner.
    """
    file = Path(path)
    try:
        mode, content = file.stat().st_mode, file.read_bytes()
    except OSError as refused:
        raise EdgeError(f"{str(file)!r} cannot be read: {refused.strerror}.") from refused
    if mode & 0o077:
        raise EdgeError(
            f"{str(file)!r} can be read by others (mode {mode & 0o777:o}): run chmod 600 on it."
        )
    return content


def write_sealed(path: str | os.PathLike[str], sealed: bytes) -> None:
    """Write a sealed model, whole or not at all.

    Raises
    ------
    EdgeError
        If it cannot be written.
    """
    write_atomically(Path(path), sealed, EdgeError)


def _key(secret: bytes, salt: bytes, name: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(secret) < MIN_SECRET:
        raise EdgeError(
            f"The secret has {len(secret)} bytes; at least {MIN_SECRET} random ones are needed "
            "(`edgesec edge secret` makes them). A password will not do."
        )
    if not name:
        raise EdgeError("The name is empty: say what the file is, and for whom.")
    info = MAGIC + VERSION.to_bytes(2, "little") + name.encode()
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(secret)
