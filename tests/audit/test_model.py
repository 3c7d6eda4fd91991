"""A stranger's model file is opened, asked and described, and harms nobody."""

from __future__ import annotations

import io
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers.audit import cage
from helpers.audit.cage import Budget
from helpers.audit.files import detect_format
from helpers.audit.inspection import find_code_in_keras
from helpers.audit.model import UntrustedModel, open_untrusted
from helpers.edge.runtimes import open_model
from helpers.errors import (
    AuditError,
    ModelContractError,
    ModelCrashError,
    ModelMemoryError,
    ModelRefusedError,
    ModelTimeoutError,
    OutOfTimeError,
    SandboxError,
)
from helpers.sandbox import Layers
from helpers.sandbox.process import descendants
from tests.audit.conftest import (
    CLASSES,
    onnx_classifier,
    onnx_looping,
    onnx_open,
    onnx_swelling,
)
from tests.edge.conftest import wake_word
from tests.edge.test_fuzz import crashing_file

ROWS = np.random.default_rng(5).random((7, 6, 6, 1), np.float32)


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def end_worker(model: UntrustedModel, number: int = signal.SIGSEGV) -> None:
    """End the process that runs the file as a bug in a runtime would."""
    os.kill(descendants(model._session._cage._box._process.pid)[-1], number)


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_predictions_are_those_of_the_same_runtime_without_a_sandbox(
    files: dict[str, Path], kind: str
) -> None:
    with open_untrusted(files[kind]) as model, open_model(files[kind], isolated=False) as plain:
        np.testing.assert_array_equal(model.predict(ROWS), plain.predict(ROWS))
        assert model.queries == len(ROWS)
        assert (model.task.kind, model.task.classes) == ("classifier", CLASSES)


def test_an_int8_file_is_described_with_its_scales_its_work_and_its_memory(
    files: dict[str, Path],
) -> None:
    with open_untrusted(files["int8"]) as model:
        port, description = model.contract.inputs[0], model.description
        assert port.shape == (None, 6, 6, 1)
        assert (port.dtype, port.scale > 0) == ("int8", True)
        assert port.range is not None
        assert port.range[0] <= 0 < port.range[1]
        assert description.quantisation == ("weights int8, one scale a channel; activations int8")
        assert description.macs == 4 * 4 * 4 * 9 + 4 * 4 * 4 * CLASSES
        assert description.parameters == 9 * 4 + 4 + 64 * CLASSES + CLASSES
        assert description.operators["CONV_2D"] == 1
        assert model.size_bytes == files["int8"].stat().st_size
        memory = model.peak_memory()
        assert memory.runtime_bytes > 10 * 2**20
        assert 0 < memory.model_bytes < 100 * 2**20


def test_latency_is_measured_inside_and_on_the_threads_that_are_asked_for(
    files: dict[str, Path],
) -> None:
    with open_untrusted(files["int8"]) as model:
        seconds = model.latency(20, threads=2)
        assert seconds.shape == (20,)
        assert 0 < np.median(seconds) < 0.05  # this network takes microseconds, a pipe does not
        with pytest.raises(AuditError, match="runs=0"):
            model.latency(0)


def test_a_replica_agrees_with_the_file_and_has_a_gradient(files: dict[str, Path]) -> None:
    import tensorflow as tf

    with open_untrusted(files["int8"]) as model:
        replica, scores = model.replica(), model.predict(ROWS)
        step = model.contract.outputs[0].scale
        np.testing.assert_allclose(replica(ROWS).numpy(), scores, atol=1.5 * step)
        assert [layer.op for layer in model.weights()] == ["CONV_2D", "FULLY_CONNECTED"]
        given = tf.constant(ROWS)
        with tf.GradientTape() as tape:
            tape.watch(given)
            score = replica(given)[:, 0]
        assert np.abs(tape.gradient(score, given)).max() > 0


def test_code_in_a_keras_file_runs_in_the_sandbox_and_reaches_nothing(
    files: dict[str, Path],
) -> None:
    with open_untrusted(files["lambda"]) as model, open_untrusted(files["float"]) as same:
        assert not files["written"].exists()
        assert model.format == "keras"
        assert "1 Lambda layer" in model.description.notes[0]
        np.testing.assert_allclose(model.predict(ROWS), same.predict(ROWS), atol=1e-6)


def test_code_in_a_keras_file_cannot_answer_for_the_process_that_names_it(
    files: dict[str, Path],
) -> None:
    with open_untrusted(files["forging"]) as model:
        assert any("Python code" in note for note in model.description.notes)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ('{"class_name": "Lambda", "module": "keras.layers"}', True),
        ('{"class_name": "L\\u0061mbda", "module": "keras.layers"}', True),
        ('{"a": [{"class_name": "__lambda__", "config": {}}]}', True),
        ('{"class_name": "function", "config": "run", "module": "subprocess"}', True),
        ('{"class_name": "eval", "module": "builtins"}', True),
        ('{"class_name": "function", "config": "relu", "module": "builtins"}', False),
        ('{"class_name": "Dense", "module": "keras.layers", "registered_name": null}', False),
        ('{"class_name": "Dense", "config": {"name": "Lambda"}}', False),
    ],
)
def test_code_in_a_keras_file_is_found_however_it_is_spelt(config: str, code: bool) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", config)
    notes = find_code_in_keras(archive.getvalue())
    assert bool(notes) == code
    assert all("Python code" in note for note in notes)


def test_an_onnx_file_answers_rows_without_a_limit_but_has_no_replica(
    onnx_file: Path, weights: np.ndarray
) -> None:
    rows = np.random.default_rng(2).normal(size=(1000, 4)).astype(np.float32)
    exponentials = np.exp(rows @ weights)
    with open_untrusted(onnx_file) as model:
        expected = exponentials / exponentials.sum(1, keepdims=True)
        np.testing.assert_allclose(model.predict(rows), expected, atol=1e-6)
        assert model.contract.inputs[0].shape == (None, 4)
        assert model.description.weight_types == {"float32": 12}
        with pytest.raises(ModelContractError, match="float_model"):
            model.replica()


def test_a_float_model_of_other_sizes_is_named(tmp_path: Path, onnx_file: Path) -> None:
    other = written(tmp_path, "other.onnx", onnx_classifier(np.ones((5, CLASSES), np.float32)))
    with pytest.raises(ModelContractError, match=r"float_model takes x \(\? x 5, float32\)"):
        open_untrusted(onnx_file, float_model=other)


def test_weights_in_another_file_are_refused_and_that_file_is_not_read(
    tmp_path: Path, weights: np.ndarray
) -> None:
    path = written(tmp_path, "m.onnx", onnx_classifier(weights, location="/etc/passwd"))
    with pytest.raises(ModelRefusedError, match="1 weights lie in other files"):
        open_untrusted(path)


def test_texts_of_the_file_cannot_steer_a_terminal(tmp_path: Path, weights: np.ndarray) -> None:
    content = onnx_classifier(weights, description="\x1b[2Jgone\u202e" + "long" * 500)
    with open_untrusted(written(tmp_path, "m.onnx", content)) as model:
        text = model.description.metadata["description"]
        assert text.startswith("\\x1b[2Jgone\\u202e")
        assert len(text) < 600


def test_a_model_with_state_is_named_and_runs_as_a_stream() -> None:
    with open_untrusted(wake_word("hey_jarvis")) as model:
        assert model.contract.stateful
        assert "keeps state" in model.task.reason
        sizes = model.contract.inputs[0].stated.shape[1:]
        rows = np.random.default_rng(0).integers(-128, 128, (20, *sizes)).astype(np.int8)
        first = model.raw_predict([rows])[0]
        model.reset()
        np.testing.assert_array_equal(model.raw_predict([rows])[0], first)
        with pytest.raises(ModelContractError, match="no classifier"):
            model.predict(rows)
        with pytest.raises(ModelContractError, match="keeps state between runs"):
            model.replica()
        assert len(model.weights()) == 10


def test_sizes_that_an_onnx_file_leaves_open_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "m.onnx", onnx_open(3))
    with open_untrusted(path) as model:
        assert model.task.kind == "other"
        assert "--input-shape" in model.task.reason
    with open_untrusted(path, input_shape=(8, 9, 3)) as model:
        assert model.contract.inputs[0].shape == (None, 8, 9, 3)
        assert (model.task.kind, model.task.classes) == ("classifier", CLASSES)
        rows = np.random.default_rng(0).random((5, 8, 9, 3), np.float32)
        assert model.predict(rows).shape == (5, CLASSES)
        assert (model.latency(3) > 0).all()
    for wrong in ((8, 9, 4), (8, 9), (8, 0, 3)):
        with pytest.raises(ModelContractError, match="cannot have the sizes"):
            open_untrusted(path, input_shape=wrong)


def test_sizes_that_a_tflite_file_leaves_open_can_be_given(files: dict[str, Path]) -> None:
    import tensorflow as tf

    rows = np.random.default_rng(0).random((3, 8, 9, 1), np.float32)
    plain = tf.lite.Interpreter(str(files["open"]))
    plain.resize_tensor_input(0, rows.shape)
    plain.allocate_tensors()
    plain.set_tensor(plain.get_input_details()[0]["index"], rows)
    plain.invoke()
    expected = plain.get_tensor(plain.get_output_details()[0]["index"])
    with open_untrusted(files["open"], input_shape=(8, 9, 1)) as model:
        np.testing.assert_allclose(model.predict(rows), expected, atol=1e-5)
        assert (model.latency(3) > 0).all()
        assert model.peak_memory().model_bytes > 0
        end_worker(model)
        np.testing.assert_allclose(model.predict(rows), expected, atol=1e-5)
        assert model.description.macs is None  # those of the file are for other sizes
        with pytest.raises(ModelContractError, match="leaves sizes of its input open"):
            model.graph()


def test_a_process_of_its_own_ends_with_the_time_that_is_left(tmp_path: Path) -> None:
    """Then the file is not at fault: with more time it would have answered."""
    path = written(tmp_path, "m.onnx", onnx_looping(30_000_000))
    with open_untrusted(path) as model:
        with pytest.raises(OutOfTimeError, match="--budget"):
            model.peak_memory(within=1.5)
        assert not model.incidents


# ---------------------------------------------------------------- files that hurt


def test_a_file_that_crashes_its_runtime_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(ModelCrashError, match=r"'open' the file ended LiteRT: .*SIGSEGV"):
        open_untrusted(written(tmp_path, "m.tflite", crashing_file()))


def test_a_crash_is_a_finding_and_a_second_one_ends_the_audit(onnx_file: Path) -> None:
    with open_untrusted(onnx_file) as model:
        rows = np.ones((2, 4), np.float32)
        before = model.predict(rows)
        end_worker(model)
        np.testing.assert_array_equal(model.predict(rows), before)
        assert [incident.kind for incident in model.incidents] == ["crash"]
        assert "SIGSEGV" in model.incidents[0].detail
        end_worker(model)
        with pytest.raises(ModelCrashError, match="SIGSEGV"):
            model.predict(rows)
        with pytest.raises(ModelCrashError, match="2 times; it is not run again"):
            model.predict(rows)


def test_a_file_that_never_answers_is_ended(tmp_path: Path) -> None:
    path = written(tmp_path, "m.onnx", onnx_looping(2**60))
    with open_untrusted(path, budget=Budget(seconds=20)) as model:
        model._session._cage._budget = Budget(seconds=1)
        with pytest.raises(ModelTimeoutError, match="within 1 s"):
            model.predict(np.ones((1, CLASSES), np.float32))
        assert model.incidents[0].kind == "time-out"


def test_a_file_that_swells_is_ended(tmp_path: Path) -> None:
    path = written(tmp_path, "m.onnx", onnx_swelling(2**27))
    with open_untrusted(path, budget=Budget(memory=2**29)) as model:
        assert model.predict(np.zeros((1, CLASSES), np.float32)).shape == (1, CLASSES)
        with pytest.raises(ModelMemoryError, match=r"0\.5 GB"):
            model.predict(np.full((1, CLASSES), 4, np.float32))
        assert model.incidents[0].kind == "memory"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.tflite", b"", "begins with b''"),
        ("m.task", b"PK\x03\x04" + bytes(40), "has to be unpacked"),
        ("m.tflite", bytes(1000), "begins with"),
        (
            "m.tflite",
            b"\x10\0\0\0TFL3" + bytes(100),
            r"Refused: The \.tflite file is damaged.*version",
        ),
        ("m.onnx", b"\x08\x01 no model", "ONNX Runtime refuses to open it: DecodeError"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        open_untrusted(written(tmp_path, name, content))


def test_what_is_no_plain_file_or_too_large_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    for path, why in ((tmp_path / "pipe.tflite", "no regular"), (tmp_path, "no regular|directory")):
        with pytest.raises(ModelRefusedError, match=why):
            open_untrusted(path)
    with pytest.raises(ModelRefusedError, match="cannot be read: No such file"):
        open_untrusted(tmp_path / "absent.tflite")
    with pytest.raises(ModelRefusedError, match="at most 10 are read"):
        open_untrusted(written(tmp_path, "m.onnx", bytes(11)), budget=Budget(file_bytes=10))


def test_the_first_bytes_say_the_format_whatever_the_name() -> None:
    assert detect_format(b"\x1c\0\0\0TFL3", "model.bin") == "tflite"
    assert detect_format(b"\x89HDF\r\n\x1a\n", "model.weights") == "keras"


def test_without_every_layer_of_the_sandbox_nothing_is_opened(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Layers().without("landlock")
    monkeypatch.setattr(cage, "_available", lambda: (missing, {"landlock": "old kernel"}))
    with pytest.raises(SandboxError, match=r"landlock \(old kernel\)"):
        open_untrusted(onnx_file)
    with open_untrusted(onnx_file, unsafe=True) as model:
        assert model.task.kind == "classifier"


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ([], "takes 1 inputs"),
        ([np.zeros((2, 5), np.float32)], "does not take float32 of shape"),
        ([np.zeros((2, 4), np.int8)], "does not take int8"),
        ([np.zeros((0, 4), np.float32)], "at least 1"),
    ],
)
def test_inputs_that_do_not_fit_are_named(
    onnx_file: Path, inputs: list[np.ndarray], why: str
) -> None:
    with open_untrusted(onnx_file) as model, pytest.raises(ModelContractError, match=why):
        model.raw_predict(inputs)


@pytest.mark.skipif("EDGESEC_MODELS" not in os.environ, reason="EDGESEC_MODELS names no folder")
def test_every_model_of_a_folder_ends_in_a_verdict_or_a_clear_refusal() -> None:
    found = [p for p in Path(os.environ["EDGESEC_MODELS"]).rglob("*") if p.is_file()]
    assert found
    verdicts = [_verdict(path) for path in found]
    assert min(map(len, verdicts)) > 8


def _verdict(path: Path) -> str:
    try:
        with open_untrusted(path) as model:
            return model.task.reason or model.task.kind
    except AuditError as error:
        return str(error)
