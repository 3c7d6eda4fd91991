from __future__ import annotations

import numpy as np
import pytest

from helpers.edge.artefact import Artefact
from helpers.edge.measure import Latency, measure_latency, measure_memory, measure_size
from helpers.edge.runtimes import open_model
from helpers.errors import EdgeError
from tests.edge.conftest import wake_word


def test_latency_is_timed_run_by_run_under_stated_conditions() -> None:
    with open_model(wake_word("alexa")) as runner:
        latency = measure_latency(runner, repeats=50, warm_up=5)
        slow = measure_latency(runner, repeats=1, warm_up=0)
    assert latency.seconds.shape == (50,)
    assert (latency.seconds > 0).all()
    assert latency.percentile(5) <= latency.percentile(50) <= latency.percentile(99)
    assert str(latency).startswith("litert, 1 thread, 50 runs after 5: p5 ")
    assert len(slow.seconds) == 1


def test_a_larger_model_takes_longer(artefacts: dict[str, Artefact]) -> None:
    from helpers.edge import convert
    from helpers.models import mcmahan_cnn

    medians = []
    for artefact in (artefacts["float32"], convert.to_tflite(mcmahan_cnn())):
        with open_model(artefact) as runner:
            medians.append(measure_latency(runner, 30, 5).percentile(50))
    assert medians[1] > 10 * medians[0]  # 4,000 times the multiply-accumulates


def test_percentiles_are_those_of_the_runs() -> None:
    latency = Latency("litert", 2, 0, np.arange(101) / 1e3)
    assert latency.percentile(95) == pytest.approx(95)
    with pytest.raises(EdgeError, match="share=101"):
        latency.percentile(101)
    for seconds in (np.zeros(0), np.array([0.1, np.nan])):
        with pytest.raises(EdgeError, match="nothing to sum up"):
            Latency("tflite", 1, 0, seconds).percentile(50)


def test_peak_memory_grows_with_the_model(artefacts: dict[str, Artefact]) -> None:
    from helpers.edge import convert
    from helpers.models import mcmahan_cnn

    large = convert.to_tflite(mcmahan_cnn())
    small = measure_memory(artefacts["float32"])
    found = measure_memory(large)
    # The larger file alone is 6.7 MB of weights.
    assert found.peak_bytes > small.peak_bytes + large.num_bytes
    assert found.runtime_bytes > 10e6


def test_size_is_read_from_the_file(artefacts: dict[str, Artefact]) -> None:
    size = measure_size(artefacts["int8"])
    assert size.file_bytes == artefacts["int8"].num_bytes
    assert size.weight_bytes < size.file_bytes
    assert (size.arena_bytes, size.state_bytes) == (768, 0)
    assert measure_size(wake_word("alexa")).state_bytes > 1000


def test_settings_out_of_range_are_named() -> None:
    with open_model(wake_word("alexa")) as runner:
        with pytest.raises(EdgeError, match="repeats=0"):
            measure_latency(runner, repeats=0)
        with pytest.raises(EdgeError, match="warm_up=-1"):
            measure_latency(runner, warm_up=-1)
