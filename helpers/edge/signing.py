"""Sign a model and verify it, in the format of the OpenSSF.

A signature answers what encryption does not: who made this file, and is it unchanged? The format is
that of model-signing (a Sigstore bundle over a manifest of SHA-256 hashes), so other people's tools
can verify it. Keys are ECDSA on a NIST curve, which that format takes; it has no Ed25519.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from helpers.errors import EdgeError

CURVES = ("secp256r1", "secp384r1", "secp521r1")  # P-256, P-384, P-521: those the format takes
# How the library lists a changed file: both hashes as Python prints bytes, quotes escaped.
_HASHES = re.compile(r": Expected \\*'Digest\(.*?\)\\*'(?=['\"]?(?:, ['\"]|\]))", re.DOTALL)


class KeyPair(NamedTuple):
    """Where a pair of keys lies.

    Attributes
    ----------
    private, public
        PEM files. The public key must reach the verifier by another way than the model does.
    """

    private: Path
    public: Path


def new_keys(folder: str | os.PathLike[str], name: str = "signing") -> KeyPair:
    """Make a key pair on the curve P-256.

    Parameters
    ----------
    folder
        Folder; made if missing.
    name
        Start of the file names: ``NAME.key`` (readable by its owner alone) and ``NAME.pub``.

    Returns
    -------
    KeyPair
        The two files.

    Raises
    ------
    EdgeError
        If a file exists or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pair = KeyPair(Path(folder) / f"{name}.key", Path(folder) / f"{name}.pub")
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, content, mode in ((pair.private, private, 0o600), (pair.public, public, 0o644)):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
    except FileExistsError as exists:
        raise EdgeError(f"{exists.filename!r} exists; a key is never written over.") from None
    except OSError as refused:
        raise EdgeError(f"{str(folder)!r} cannot be written: {refused.strerror}.") from refused
    return pair


def sign(
    model: str | os.PathLike[str],
    private_key: str | os.PathLike[str],
    signature: str | os.PathLike[str] | None = None,
) -> Path:
    """Sign a model file, or a folder of files.

    Parameters
    ----------
    model
        File or folder.
    private_key
        PEM file of an unencrypted ECDSA key on P-256, P-384 or P-521.
    signature
        Where the signature goes; None puts it beside the model, with ``.sig`` added.

    Returns
    -------
    Path
        The signature's file.

    Raises
    ------
    EdgeError
        If the model or key cannot be read, or the key is of another kind.
    """
    from model_signing import signing

    target = _signature_path(model, signature)
    _require_files(model, private_key)
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=Path(private_key))
        config.set_hashing_config(_hashing(target)).sign(Path(model), target)
    except (ValueError, TypeError, OSError) as error:
        raise EdgeError(f"{os.fspath(model)!r} cannot be signed: {error}.") from error
    return target


def verify(
    model: str | os.PathLike[str],
    public_key: str | os.PathLike[str],
    signature: str | os.PathLike[str] | None = None,
) -> None:
    """Check that a model is unchanged since the holder of a key signed it; silent if it is.

    Parameters
    ----------
    model
        File or folder.
    public_key
        PEM file of the signer's public key, from a source you trust.
    signature
        The signature's file; None looks beside the model.

    Raises
    ------
    EdgeError
        If a file cannot be read, the signature is malformed, was made with another key, or does
        not belong to this model; the message says which.
    """
    from model_signing import verifying

    stored = _signature_path(model, signature)
    _require_files(model, public_key, stored)
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=Path(public_key))
        config.set_hashing_config(_hashing(stored)).verify(Path(model), stored)
    # A malformed bundle raises anything from KeyError to the parsers' own types.
    except Exception as error:
        raise EdgeError(
            f"{os.fspath(model)!r} does not verify: "
            f"{_HASHES.sub('', str(error)) or type(error).__name__}. Do not use it."
        ) from error


def require_public_key(public_key: str | os.PathLike[str]) -> None:
    """Raise EdgeError, which says why, unless a file holds a public key that can verify.

    What does not verify with a key and what is no key are two things: this tells them apart.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    _require_files(public_key)
    name, wanted = os.fspath(public_key), "give a PEM file of an ECDSA public key (NAME.pub)"
    try:
        content = Path(public_key).read_bytes()
        key = serialization.load_pem_public_key(content)
    except OSError as error:
        raise EdgeError(f"{name!r} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a parser's own types, and those of what it is built on
        if b"PRIVATE KEY" in content:
            raise EdgeError(f"{name!r} is a private key: {wanted}, and keep this one.") from None
        raise EdgeError(f"{name!r} is no public key: {wanted}.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        raise EdgeError(
            f"{name!r} is a public key of another kind ({kind.strip('_')}): {wanted} on "
            f"{', '.join(CURVES)}."
        )


def _hashing(signature: Path) -> Any:
    """Hash every file of the model, but not the signature that lies among them."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)


def _signature_path(
    model: str | os.PathLike[str], signature: str | os.PathLike[str] | None
) -> Path:
    return Path(signature) if signature is not None else Path(f"{os.fspath(model)}.sig")


def _require_files(*paths: str | os.PathLike[str]) -> None:
    for path in paths:
        if not Path(path).exists():
            raise EdgeError(f"{os.fspath(path)!r} does not exist.")
