from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from helpers.edge import convert
from helpers.edge.artefact import Artefact, TensorContract
from helpers.edge.runtimes import open_model
from helpers.edge.runtimes.process import Worker
from helpers.errors import EdgeError
from tests.edge.conftest import wake_word


@pytest.fixture(scope="module")
def onnx(artefacts: dict[str, Artefact]) -> dict[str, Artefact]:
    return {name: convert.to_onnx(artefacts[name]) for name in ("float32", "int8")}


def answers(artefact: Artefact, runtime: str, rows: np.ndarray) -> np.ndarray:
    with open_model(artefact, runtime, isolated=runtime != "tflite") as runner:  # type: ignore[arg-type]
        return np.asarray(runner.predict(rows))


def test_runtimes_agree_on_a_float_file_to_a_millionth(
    artefacts: dict[str, Artefact], onnx: dict[str, Artefact], rows: np.ndarray
) -> None:
    reference = answers(artefacts["float32"], "tflite", rows)
    for artefact, runtime in ((artefacts["float32"], "litert"), (onnx["float32"], "onnxruntime")):
        found = answers(artefact, runtime, rows)
        np.testing.assert_allclose(found, reference, rtol=0, atol=1e-6, err_msg=runtime)


def test_runtimes_agree_on_an_int8_file_to_a_few_codes(
    artefacts: dict[str, Artefact], onnx: dict[str, Artefact], rows: np.ndarray
) -> None:
    reference = answers(artefacts["int8"], "tflite", rows)
    step = 1 / 256
    # ONNX Runtime rounds in other places: one code off before the softmax is a few after it.
    for artefact, runtime, codes in (
        (artefacts["int8"], "litert", 1),
        (onnx["int8"], "onnxruntime", 4),
    ):
        found = answers(artefact, runtime, rows)
        assert np.abs(found - reference).max() <= codes * step + 1e-6, runtime
        # A label differs only where the file itself has two answers that close.
        theirs = np.take_along_axis(reference, found.argmax(1)[:, None], 1)[:, 0]
        assert (theirs >= reference.max(1) - codes * step - 1e-6).all(), runtime


def test_threads_and_isolation_do_not_change_an_answer(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    with open_model(artefacts["int8"], isolated=False) as here:
        one = here.predict(rows)
    with open_model(artefacts["int8"], threads=2) as there:
        np.testing.assert_array_equal(one, there.predict(rows))


def test_predict_takes_real_numbers_and_run_codes_takes_the_files_own(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    with open_model(artefacts["int8"], isolated=False) as runner:
        given, gives = runner.contract.inputs[0], runner.contract.outputs[0]
        assert (given.dtype, gives.dtype) == ("int8", "int8")
        assert gives.scale == 1 / 256
        (codes,) = runner.run_codes(given.encode(rows))
        np.testing.assert_array_equal(gives.decode(codes), runner.predict(rows))
        with pytest.raises(EdgeError, match="takes int8, not float32"):
            runner.run_codes(rows)


def test_encoding_rounds_to_the_nearest_code_and_clips() -> None:
    contract = TensorContract("x", (1, 4), "int8", 0.5, 10)
    assert contract.encode([[0.0, 0.26, 1e9, -1e9]]).tolist() == [[10, 11, 127, -128]]
    with pytest.raises(EdgeError, match="NaN"):
        contract.encode([[np.nan]])


def test_a_streaming_model_is_run_as_one_stream_and_forgets_on_reset() -> None:
    rng = np.random.default_rng(5)
    with open_model(wake_word("hey_mycroft")) as runner:
        assert runner.contract.stateful
        frames = rng.uniform(0, 26, (60, *runner.contract.inputs[0].shape[1:]))
        whole = runner.predict(frames)
        runner.reset()
        parts = np.concatenate([runner.predict(frames[:20]), runner.predict(frames[20:])])
        np.testing.assert_array_equal(whole, parts)
        again = runner.predict(frames[:20])
        runner.reset()
        assert (runner.predict(frames[:20]) == whole[:20]).all()
        assert (again != whole[:20]).any()


def test_a_wake_word_runs_alike_in_both_builds_of_the_runtime() -> None:
    frames = np.random.default_rng(6).uniform(0, 26, (60, 3, 40))
    found = []
    for runtime, isolated in (("litert", True), ("tflite", False)):
        with open_model(wake_word("hey_mycroft"), runtime, isolated=isolated) as runner:  # type: ignore[arg-type]
            found.append(runner.predict(frames))
    assert np.ptp(found[0]) > 0
    assert np.abs(found[0] - found[1]).max() <= 2 / 256


def test_a_worker_that_hangs_is_ended_at_the_limit() -> None:
    worker = Worker("litert", timeout=30)
    worker.ask("memory")
    worker.timeout = 0.5
    os.kill(worker._process.pid, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(EdgeError, match=r"no answer within 0.5 s"):
        worker.ask("memory")
    assert time.monotonic() - start < 10
    assert worker._process.returncode == -signal.SIGKILL


def test_a_worker_out_of_memory_does_not_take_the_caller_along(
    artefacts: dict[str, Artefact],
) -> None:
    with pytest.raises(EdgeError, match="litert"):
        open_model(artefacts["float32"], memory_limit=2**26)


def test_a_worker_sees_little_of_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_TEST_TOKEN", "secret")
    worker = Worker("litert")
    worker.ask("memory")
    with open(f"/proc/{worker._process.pid}/environ", "rb") as environment:  # noqa: PTH123
        assert b"EDGE_TEST_TOKEN" not in environment.read()
    worker.close()
    worker.close()


@pytest.mark.parametrize(
    ("shape", "words"),
    [((3, 9, 9, 1), "must be"), ((8, 8, 1), "must be"), ((0, 8, 8, 1), "0 rows")],
)
def test_rows_that_do_not_fit_are_refused(
    artefacts: dict[str, Artefact], shape: tuple[int, ...], words: str
) -> None:
    with (
        open_model(artefacts["float32"], isolated=False) as runner,
        pytest.raises(EdgeError, match=words),
    ):
        runner.predict(np.zeros(shape))


def test_wrong_settings_are_named(artefacts: dict[str, Artefact], tmp_path: object) -> None:
    model = artefacts["float32"]
    with pytest.raises(EdgeError, match="TensorRT see"):
        open_model(model, "tensorrt")  # type: ignore[arg-type]
    with pytest.raises(EdgeError, match=r"reads .onnx files"):
        open_model(model, "onnxruntime")
    with pytest.raises(EdgeError, match="threads=0"):
        open_model(model, threads=0)
    with pytest.raises(EdgeError, match=r"must end in one of .tflite, .onnx, .pte"):
        open_model("model.bin")


def test_a_damaged_onnx_file_is_refused_in_the_worker() -> None:
    with pytest.raises(EdgeError, match="onnxruntime refuses"):
        open_model(Artefact(b"\x08\x07" + b"\xff" * 200, "onnx", "damaged.onnx"))
