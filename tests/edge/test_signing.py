from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from helpers.edge.signing import KeyPair, new_keys, require_public_key, sign, verify
from helpers.errors import EdgeError


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return new_keys(tmp_path / "keys")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"weights" * 100)
    return path


def test_an_unchanged_model_verifies_and_a_changed_one_does_not(model: Path, keys: KeyPair) -> None:
    assert sign(model, keys.private) == model.with_name("model.tflite.sig")
    verify(model, keys.public)
    model.write_bytes(b"weights" * 99 + b"weighty")
    with pytest.raises(EdgeError, match=r"does not verify: .*mismatch.* Do not use it"):
        verify(model, keys.public)


def test_the_refusal_names_the_changed_files_and_spares_the_reader_their_hashes(
    keys: KeyPair, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("a.tflite", "b.tflite"):
        (folder / name).write_bytes(name.encode())
    signature = sign(folder, keys.private, tmp_path / "release.sig")
    for name in ("a.tflite", "b.tflite"):
        (folder / name).write_bytes(b"changed")
    with pytest.raises(EdgeError) as refusal:
        verify(folder, keys.public, signature)
    text = str(refusal.value)
    assert "a.tflite" in text
    assert "b.tflite" in text
    assert "Digest" not in text
    assert "\\x" not in text


def test_another_key_does_not_verify(model: Path, keys: KeyPair, tmp_path: Path) -> None:
    sign(model, keys.private)
    other = new_keys(tmp_path / "keys", "other")
    with pytest.raises(EdgeError, match="Key mismatch"):
        verify(model, other.public)


def test_what_is_no_key_is_told_from_a_key_that_does_not_verify(
    keys: KeyPair, tmp_path: Path
) -> None:
    require_public_key(keys.public)
    (tmp_path / "text.pub").write_text("-----BEGIN PUBLIC KEY-----\nnot base64\n")
    (tmp_path / "empty.pub").write_bytes(b"")
    curve = ec.generate_private_key(ec.SECP256K1()).public_key()
    (tmp_path / "curve.pub").write_bytes(curve.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ))  # fmt: skip
    for path, why in (
        (tmp_path / "text.pub", "is no public key: give a PEM file"),
        (tmp_path / "empty.pub", "is no public key"),
        (tmp_path / "curve.pub", r"another kind \(secp256k1\).*secp384r1"),
        (keys.private, "is a private key"),
        (tmp_path / "absent.pub", "does not exist"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(EdgeError, match=why):
            require_public_key(path)


def test_a_folder_is_signed_whole(keys: KeyPair, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "a.tflite").write_bytes(b"a")
    (folder / "labels.txt").write_text("yes")
    signature = sign(folder, keys.private, folder / "model.sig")
    verify(folder, keys.public, signature)
    (folder / "extra.so").write_bytes(b"x")
    with pytest.raises(EdgeError, match="Extra files"):
        verify(folder, keys.public, signature)


def test_the_projects_own_command_line_verifies_ours(model: Path, keys: KeyPair) -> None:
    signature = sign(model, keys.private)
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", "verify", "key", str(model),
         "--signature", str(signature), "--public_key", str(keys.public)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", ["", "nonsense", "{}", "[]", '{"verificationMaterial": 3}'])
def test_a_malformed_signature_is_an_error_like_any_other(
    model: Path, keys: KeyPair, content: str
) -> None:
    sign(model, keys.private).write_text(content)
    with pytest.raises(EdgeError, match="does not verify"):
        verify(model, keys.public)


def test_a_signature_moved_to_another_payload_fails(model: Path, keys: KeyPair) -> None:
    signature = sign(model, keys.private)
    bundle = json.loads(signature.read_text())
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:-8] + "AAAA" + payload[-4:]
    signature.write_text(json.dumps(bundle))
    with pytest.raises(EdgeError, match="does not verify"):
        verify(model, keys.public)


def test_what_is_missing_or_of_the_wrong_kind_is_named(
    model: Path, keys: KeyPair, tmp_path: Path
) -> None:
    with pytest.raises(EdgeError, match="does not exist"):
        verify(model, keys.public)
    with pytest.raises(EdgeError, match="never written over"):
        new_keys(tmp_path / "keys")
    with pytest.raises(EdgeError, match="cannot be signed"):
        sign(model, keys.public)
    assert keys.private.stat().st_mode & 0o077 == 0
