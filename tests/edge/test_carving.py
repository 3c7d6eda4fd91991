"""Models are found in memory, whole and each once; what only looks like one is not."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.edge.carving import carve, carve_models
from helpers.edge.reading import read_weights
from helpers.errors import EdgeError
from tests.edge.conftest import WAKE_WORDS, wake_word

MODEL = wake_word("alexa").read_bytes()

# Decrypts what it was given, then waits: the model is in its memory and in no file it has open.
HOLDER = """
import sys
key = 0x5A
blob = sys.stdin.buffer.read(int(sys.argv[1]))
models = [bytes(byte ^ key for byte in blob), bytes(byte ^ key for byte in blob)]
print("ready", flush=True)
sys.stdin.buffer.read()
"""


@settings(max_examples=8, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_model_is_found_between_any_other_bytes(before: bytes, after: bytes) -> None:
    (found,) = carve(before + MODEL + after)
    assert MODEL.startswith(found)
    read, real = read_weights(found), read_weights(MODEL)
    assert len(read) == len(real)
    for ours, theirs in zip(read, real, strict=True):
        np.testing.assert_array_equal(ours.kernel, theirs.kernel)


def test_several_models_are_found_in_their_order() -> None:
    files = [wake_word(name).read_bytes() for name in WAKE_WORDS[:2]]
    found = list(carve(b"\0" * 64 + files[0] + b"\0" * 64 + files[1]))
    assert len(found) == 2
    assert all(file.startswith(model) for file, model in zip(files, found, strict=True))


@pytest.mark.parametrize("memory", [b"", b"TFL3", b"\x10\0\0\0TFL3" + b"\0" * 50, MODEL[:-4096]])
def test_what_only_begins_like_a_model_is_none(memory: bytes) -> None:
    assert list(carve(memory)) == []


def test_a_model_that_was_decrypted_is_read_from_the_process_once() -> None:
    hidden = bytes(byte ^ 0x5A for byte in MODEL)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(len(hidden))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdin.write(hidden)
        holder.stdin.flush()
        assert holder.stdout.readline() == b"ready\n"
        (found,) = carve_models(holder.pid)
    finally:
        holder.communicate()
    assert MODEL.startswith(found)
    assert len(MODEL) - len(found) < 64


def test_a_process_that_is_not_there_is_refused() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(EdgeError, match=f"process {gone.pid} cannot be read"):
        carve_models(gone.pid)
