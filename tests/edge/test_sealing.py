from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.edge.sealing import (
    PROTECTION,
    new_secret,
    open_sealed,
    read_secret,
    seal,
)
from helpers.errors import EdgeError

SECRET = bytes(range(32))


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300), st.text(min_size=1, max_size=20))
def test_what_is_sealed_opens_as_it_was(model: bytes, name: str) -> None:
    assert open_sealed(seal(model, SECRET, name), SECRET, name) == model


def test_any_flipped_bit_keeps_it_shut() -> None:
    sealed = seal(b"weights", SECRET, "kws 1")
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 0x10
        with pytest.raises(EdgeError):
            open_sealed(bytes(damaged), SECRET, "kws 1")


def test_another_secret_or_name_keeps_it_shut() -> None:
    sealed = seal(b"weights", SECRET, "kws 1")
    for secret, name in ((bytes(32), "kws 1"), (SECRET, "kws 2")):
        with pytest.raises(EdgeError, match="does not open"):
            open_sealed(sealed, secret, name)


def test_the_format_is_hkdf_and_gcm_as_published() -> None:
    # Opened with HMAC from the standard library and PyCryptodome's GCM: none of our key code.
    import hashlib
    import hmac

    from Crypto.Cipher import AES

    sealed = seal(b"weights", SECRET, "kws 1")
    header, body, tag = sealed[:40], sealed[40:-16], sealed[-16:]
    salt, nonce = header[12:28], header[28:40]
    extracted = hmac.new(salt, SECRET, hashlib.sha256).digest()
    info = b"EDGESEAL" + b"\x01\x00" + b"kws 1"
    key = hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()
    cipher = AES.new(key, AES.MODE_GCM, nonce)
    cipher.update(header)
    assert cipher.decrypt_and_verify(body, tag) == b"weights"


def test_no_two_sealings_share_a_key_or_nonce() -> None:
    one, other = (seal(b"weights", SECRET, "kws 1") for _ in range(2))
    assert one[12:40] != other[12:40]
    assert one[40:] != other[40:]


def test_a_password_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="A password will not do"):
        seal(b"weights", b"hunter2", "kws 1")
    with pytest.raises(EdgeError, match="name is empty"):
        seal(b"weights", SECRET, "")
    with pytest.raises(EdgeError, match="no sealed model"):
        open_sealed(b"weights" * 20, SECRET, "kws 1")


def test_a_secret_is_kept_from_others_and_never_written_over(tmp_path: Path) -> None:
    path = new_secret(tmp_path / "secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_secret(path)) == 32
    with pytest.raises(EdgeError, match="never written over"):
        new_secret(path)
    path.chmod(0o644)
    with pytest.raises(EdgeError, match="chmod 600"):
        read_secret(path)


def test_it_says_what_it_does_not_protect_from() -> None:
    holds = {line.attacker: line.holds for line in PROTECTION}
    assert holds["has code execution on the device, or a debugger"] == "no"
    assert holds["only asks the model questions"] == "no"
    assert sorted(set(holds.values())) == ["no", "partly", "yes"]
