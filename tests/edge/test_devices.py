from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

from helpers.edge import devices
from helpers.edge.artefact import Artefact
from helpers.edge.devices import DEVICES, NETWORKS, Work, estimate, work_of
from helpers.errors import EdgeError


def left_out() -> list[tuple[str, float, float]]:
    """Each published latency against the range that the others on its device predict."""
    found = []
    for device in DEVICES.values():
        for arithmetic in device.macs_per_cycle:
            points = [p for p in device.published if p.arithmetic == arithmetic]
            for point in points if len(points) > 2 else []:
                others = [
                    math.log(p.milliseconds / devices._bound_of(p, device))
                    for p in points
                    if p is not point
                ]
                here = math.log(point.milliseconds / devices._bound_of(point, device))
                error = abs(here - statistics.fmean(others))
                found.append((device.name, error, math.log(devices._factor(others))))
    return found


def test_the_error_bar_holds_about_four_of_five_latencies_it_has_not_seen() -> None:
    found = left_out()
    inside = sum(error <= bar for _, error, bar in found)
    assert len(found) > 25
    assert inside / len(found) == pytest.approx(0.8, abs=0.1)


def test_no_published_latency_beats_the_roofline() -> None:
    for device in DEVICES.values():
        for point in device.published:
            assert point.milliseconds > devices._bound_of(point, device), point


@pytest.mark.parametrize("name", DEVICES)
def test_no_range_reaches_below_the_roofline(name: str) -> None:
    arithmetic = DEVICES[name].published[0].arithmetic
    for work in NETWORKS.values():
        found = estimate(work, name, arithmetic)
        assert found.roofline_milliseconds <= found.low < found.milliseconds < found.high


def test_the_quantiles_are_students() -> None:
    from scipy import stats

    for degrees, value in enumerate(devices._T90, start=1):
        assert value == pytest.approx(stats.t.ppf(0.9, degrees), abs=1e-3)
    assert pytest.approx(stats.norm.ppf(0.9), abs=1e-3) == devices._Z90


def test_more_work_takes_longer_and_a_faster_clock_less() -> None:
    small, large = Work(1_000_000, 1_000, 1_000), Work(2_000_000, 1_000, 1_000)
    one = estimate(small, "cortex-m4")
    assert estimate(large, "cortex-m4").milliseconds == pytest.approx(2 * one.milliseconds)
    faster = estimate(small, "cortex-m4", clock_hz=240e6)
    assert faster.milliseconds == pytest.approx(one.milliseconds / 2)


def test_a_network_without_reuse_is_bound_by_memory() -> None:
    assert estimate(Work(1_000_000, 1_000_000, 0), "raspberry-pi-4").bound_by == "memory"
    convolution = NETWORKS["mlperf-tiny image classification"]
    assert estimate(convolution, "raspberry-pi-4").bound_by == "compute"


def test_one_stack_gives_a_narrower_bar_around_its_own_latency() -> None:
    work = NETWORKS["mlperf-tiny keyword spotting"]
    every = estimate(work, "cortex-m4")
    one = estimate(work, "cortex-m4", stack="microTVM with CMSIS-NN")
    assert one.high / one.low < every.high / every.low
    assert one.low < 1e3 / 10.019 < one.high


def test_a_network_can_be_left_out_of_its_own_estimate() -> None:
    network = "mlperf-tiny keyword spotting"
    every = estimate(NETWORKS[network], "cortex-m4")
    unseen = estimate(NETWORKS[network], "cortex-m4", leave_out=network)
    assert every.points - unseen.points == 3
    ratios = [
        math.log(p.milliseconds / devices._bound_of(p, DEVICES["cortex-m4"]))
        for p in DEVICES["cortex-m4"].published
        if p.network != network
    ]
    expected = unseen.roofline_milliseconds * math.exp(statistics.fmean(ratios))
    assert unseen.milliseconds == pytest.approx(expected)


def test_an_estimate_says_that_it_is_one(artefacts: dict[str, Artefact]) -> None:
    text = str(estimate(work_of(artefacts["int8"].data), "raspberry-pi-4"))
    assert text.startswith("estimate for raspberry-pi-4, int8: ")
    assert text.endswith("5 published latencies; not measured)")


@pytest.mark.parametrize(("work", "side"), [(Work(1000, 100, 100), "below"),
                                            (Work(10**10, 10**8, 10**8), "above")])  # fmt: skip
def test_an_estimate_that_nothing_published_supports_says_so(work: Work, side: str) -> None:
    for name in ("raspberry-pi-4", "cortex-m4", "cortex-m7"):
        found = estimate(work, name)
        assert f"lies {side} those of the networks whose latency is published" in found.beyond
        with pytest.raises(EdgeError, match="Measure on the device"):
            found.require_calibrated()


def test_every_network_that_was_published_lies_in_the_range_of_its_device() -> None:
    for device in DEVICES.values():
        for point in device.published:
            found = estimate(NETWORKS[point.network], device.name, point.arithmetic)
            if point.clock_hz == device.clock_hz:
                assert not found.beyond
                found.require_calibrated()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"device": "toaster"}, "device='toaster'"),
        ({"device": "jetson-nano", "arithmetic": "int8"}, "no int8 figures"),
        ({"device": "cortex-m4", "arithmetic": "int4"}, "arithmetic='int4'"),
        ({"device": "cortex-m4", "stack": "none"}, "0 latencies are published"),
        ({"device": "cortex-m4", "clock_hz": -1.0}, "clock_hz=-1.0"),
        ({"device": "cortex-m4", "leave_out": "a net"}, "leave_out='a net'"),
    ],
)
def test_what_cannot_be_estimated_is_refused(arguments: dict, words: str) -> None:
    with pytest.raises(EdgeError, match=words):
        estimate(Work(1, 1, 1), **arguments)


@pytest.mark.parametrize("count", [-1, math.nan, math.inf, None, "9", True, np.True_])
def test_work_that_is_no_number_below_nothing_or_without_end_is_refused(count: Any) -> None:
    with pytest.raises(EdgeError, match="activations="):
        Work(1, 1, count)
