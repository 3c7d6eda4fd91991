from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from helpers.cli.edge import command
from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.errors import DataError, EdgeError
from helpers.models import ds_cnn
from tests.edge.conftest import wake_word


def call(*arguments: object) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_inspect_shows_a_third_partys_model_without_running_it() -> None:
    shown = call("inspect", wake_word("alexa"))
    assert "(1, 3, 40) int8, scale 0.101961, zero -128" in shown
    assert "kept between runs" in shown
    assert "(5, 1, 40, 32)" in shown


def test_run_writes_what_predict_gives(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).uniform(0, 26, (20, 3, 40))
    np.save(tmp_path / "frames.npy", frames)
    call("run", wake_word("alexa"), tmp_path / "frames.npy", "--out", tmp_path / "answers.npy")
    assert np.load(tmp_path / "answers.npy").shape == (20, 1)
    with pytest.raises(DataError, match=r"no .npy array"):
        call("run", wake_word("alexa"), wake_word("alexa"))


def test_measure_and_estimate_say_which_of_the_two_they_are(tmp_path: Path) -> None:
    measured = call("measure", wake_word("alexa"), "--repeats", 20, "--warm-up", 2)
    assert "litert, 1 thread, 20 runs after 2: p5" in measured
    convert.to_tflite(ds_cnn(), "float32").save(tmp_path / "words.tflite")
    estimated = call("estimate", tmp_path / "words.tflite", "--device", "cortex-m4")
    assert "not measured" in estimated
    assert "four of five" in estimated
    too_small = call("estimate", wake_word("alexa"))
    assert too_small.count("no estimate") == 5
    assert "four of five" not in too_small
    with pytest.raises(EdgeError, match="device='toaster'"):
        call("estimate", wake_word("alexa"), "--device", "toaster")


def test_convert_goes_by_the_suffixes(
    network: object, artefacts: dict[str, Artefact], digits: object, tmp_path: Path
) -> None:
    network.save(tmp_path / "net.h5")  # type: ignore[attr-defined]
    np.save(tmp_path / "some.npy", digits.x_train[:50])  # type: ignore[attr-defined]
    call("convert", tmp_path / "net.h5", tmp_path / "net.tflite", "--precision", "int8",
         "--representative", tmp_path / "some.npy")  # fmt: skip
    assert "int8" in call("inspect", tmp_path / "net.tflite")
    with pytest.raises(EdgeError, match=r"no way from '.tflite' to '.h5'"):
        call("convert", tmp_path / "net.tflite", tmp_path / "back.h5")


def test_a_model_is_sealed_opened_signed_and_verified(tmp_path: Path) -> None:
    secret, sealed, opened = (tmp_path / name for name in ("secret", "m.sealed", "m.tflite"))
    call("secret", secret)
    told = call("seal", wake_word("alexa"), sealed, "--secret", secret, "--name", "kws 1")
    assert "has code execution on the device" in told
    call("open", sealed, opened, "--secret", secret, "--name", "kws 1")
    assert opened.read_bytes() == wake_word("alexa").read_bytes()
    call("keys", tmp_path / "keys")
    call("sign", opened, "--key", tmp_path / "keys" / "signing.key")
    assert "as it was signed" in call("verify", opened, "--key", tmp_path / "keys" / "signing.pub")


def test_tensorrt_writes_a_script(tmp_path: Path) -> None:
    Artefact(b"model", "onnx").save(tmp_path / "m.onnx")
    assert "build_engine.sh" in call("tensorrt", tmp_path / "m.onnx", tmp_path / "engine")
