"""An estimate of latency on a device that is not here, with the error it is known to make.

The estimate starts from a roofline (Williams, Waterman and Patterson, *Roofline: an insightful
visual performance model for multicore architectures*, Communications of the ACM 52(4), 2009): an
inference takes at least its multiply-accumulates over the device's peak, and at least its bytes
over the device's bandwidth. Real runtimes are several times slower, so the bound is multiplied by
the factor that published measurements on that device show, and the scatter of those factors is the
error bar. It is an estimate and is called one: only a measurement on the device settles anything.
"""

from __future__ import annotations

import math
import os
import statistics
from dataclasses import dataclass
from typing import Literal, get_args

from helpers.edge._checks import require_choice, require_not_negative
from helpers.edge.macs import Costs, count_costs
from helpers.edge.tflite.graph import Graph
from helpers.errors import EdgeError

Arithmetic = Literal["float32", "float16", "int8"]
_BYTES = {"float32": 4, "float16": 2, "int8": 1}
# An error bar holds four of five unseen latencies, so it ends at the 90 % quantiles.
# Those of Student's t at 1, 2, ... degrees of freedom; the normal one after the last.
_T90 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356)
_Z90 = 1.282


@dataclass(frozen=True)
class Work:
    """What one inference of a network takes, whatever runs it.

    Attributes
    ----------
    macs
        Multiply-accumulates.
    weights, activations
        Elements read as constants, and elements of activations read and written.
    """

    macs: int
    weights: int
    activations: int

    def __post_init__(self) -> None:
        for name, count in vars(self).items():
            require_not_negative(name, count)


@dataclass(frozen=True)
class Published:
    """One published latency.

    Attributes
    ----------
    network
        Name in ``NETWORKS``.
    arithmetic
        Number format it ran in.
    milliseconds
        Latency of one inference.
    stack
        Software that ran it.
    clock_hz
        Clock it ran at.
    source
        Where it is published.
    """

    network: str
    arithmetic: Arithmetic
    milliseconds: float
    stack: str
    clock_hz: float
    source: str


@dataclass(frozen=True)
class Device:
    """What bounds inference on a device.

    Attributes
    ----------
    name, title
        Key, and what it stands for.
    clock_hz
        Clock of the processor that computes.
    macs_per_cycle
        Peak multiply-accumulates a cycle, all cores together, by number format.
    bytes_per_second
        Peak memory bandwidth.
    constants
        Where these come from.
    published
        Latencies that the estimate is calibrated on.
    """

    name: str
    title: str
    clock_hz: float
    macs_per_cycle: dict[str, float]
    bytes_per_second: float
    constants: str
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Estimate:
    """An estimated latency. It is no measurement.

    Attributes
    ----------
    device, arithmetic
        What it is for.
    milliseconds
        Estimate of one inference.
    low, high
        Range that holds four of five devices and stacks like the published ones, if their
        logarithms scatter normally; it ends at the bound.
    roofline_milliseconds
        The bound below it, if every operation fetches its tensors from memory.
    bound_by
        ``"compute"`` or ``"memory"``.
    slowdown
        Published latency over the bound, geometric mean.
    points
        Published latencies it rests on.
    calibrated
        Smallest and largest bound, in milliseconds, of the networks that were published.
    """

    device: str
    arithmetic: str
    milliseconds: float
    low: float
    high: float
    roofline_milliseconds: float
    bound_by: str
    slowdown: float
    points: int
    calibrated: tuple[float, float]

    @property
    def beyond(self) -> str:
        """Why nothing published supports the estimate, in words; empty if something does.

        A roofline knows nothing of what each call and each operation costs beside the arithmetic,
        so for a smaller network than any that was published it is too good, and nobody has
        published by how much. For a larger one nothing shows that its slowdown is the same.
        """
        low, high = self.calibrated
        if low <= self.roofline_milliseconds <= high:
            return ""
        side = "below" if self.roofline_milliseconds < low else "above"
        what = (
            "what a call costs beside its arithmetic is not in the estimate" if side == "below"
            else "whether its slowdown stays the same is not known"
        )  # fmt: skip
        return (
            f"no estimate in {self.arithmetic}: the network's bound of "
            f"{self.roofline_milliseconds:.2g} ms lies {side} those of the networks whose latency "
            f"is published ({low:.2g} to {high:.2g} ms), and {what}. Measure on the device."
        )

    def require_calibrated(self) -> None:
        """Raise EdgeError, which says why, where nothing published supports the estimate."""
        if self.beyond:
            raise EdgeError(self.beyond)

    def __str__(self) -> str:
        return (
            f"estimate for {self.device}, {self.arithmetic}: {self.milliseconds:.3g} ms "
            f"({self.low:.3g} to {self.high:.3g}; {self.points} published latencies; not measured)"
        )


# Counted by helpers.edge.macs from the .tflite files that were benchmarked: MLPerf Tiny v0.5, and
# the SSD of Allan's benchmark. The last two: He et al., "Deep residual learning for image
# recognition", CVPR 2016, table 1 and section 3.3; their activations do not bound them.
NETWORKS = {
    "mlperf-tiny image classification": Work(12_501_632, 77_708, 273_694),
    "mlperf-tiny visual wake words": Work(7_489_664, 210_852, 491_782),
    "mlperf-tiny keyword spotting": Work(2_656_768, 22_606, 144_782),
    "mlperf-tiny anomaly detection": Work(264_192, 265_864, 5_904),
    "SSD MobileNet v1 0.75, 300 px": Work(728_036_496, 4_108_944, 16_018_444),
    "ResNet-50, 224 px": Work(3_800_000_000, 25_600_000, 0),
    "VGG-19, 224 px": Work(19_600_000_000, 143_700_000, 0),
}
_TINY_05 = "MLPerf Tiny v0.5 results, github.com/mlcommons/tiny_results_v0.5"
_TINY_10 = "MLPerf Tiny v1.0 results, github.com/mlcommons/tiny_results_v1.0"
_ALLAN = "Allan, github.com/aallan/benchmarking-ml-on-the-edge"
_NVIDIA = "NVIDIA, Jetson Nano: deep learning inference benchmarks"


def _tiny(
    stack: str, clock_hz: float, source: str, arithmetic: Arithmetic, **milliseconds: float
) -> tuple[Published, ...]:
    """The four networks of MLPerf Tiny on one system."""
    names = {
        "ic": "image classification", "vww": "visual wake words",
        "kws": "keyword spotting", "ad": "anomaly detection",
    }  # fmt: skip
    return tuple(
        Published(f"mlperf-tiny {names[key]}", arithmetic, value, stack, clock_hz, source)
        for key, value in milliseconds.items()
    )


_LEIP = ("LEIP 1.9.3", 1.5e9, _TINY_05)
DEVICES = {
    device.name: device
    for device in (
        Device(
            "raspberry-pi-4", "Raspberry Pi 4 B, four Cortex-A72", 1.5e9,
            {"float32": 16, "int8": 32}, 12.8e9,
            "Clock and LPDDR4-3200 over 32 bits from the product brief; one 128-bit "
            "multiply-accumulate a cycle and core is assumed.",
            (
                *_tiny(*_LEIP, "float32", ic=1.312, vww=3.745, kws=0.393, ad=0.169),
                *_tiny(*_LEIP, "int8", ic=1.074, vww=2.599, kws=0.421, ad=0.192),
                Published("SSD MobileNet v1 0.75, 300 px", "int8", 82.7, "TensorFlow Lite", 1.5e9,
                          _ALLAN),
            ),
        ),
        Device(
            "jetson-nano", "Jetson Nano, 128-core Maxwell GPU", 0.9216e9,
            {"float32": 128, "float16": 256}, 25.6e9,
            "472 GFLOPS in half precision and 25.6 GB/s from the module's data sheet; no tensor "
            "cores, and no int8 path.",
            (
                Published("ResNet-50, 224 px", "float16", 1e3 / 36, "TensorRT", 0.9216e9, _NVIDIA),
                Published("VGG-19, 224 px", "float16", 1e3 / 10, "TensorRT", 0.9216e9, _NVIDIA),
                Published("SSD MobileNet v1 0.75, 300 px", "float16", 61.6,
                          "TensorFlow with TensorRT", 0.9216e9, _ALLAN),
            ),
        ),
        Device(
            "cortex-m4", "Cortex-M4 at 120 MHz (STM32L4R5)", 120e6, {"int8": 2}, 480e6,
            "SMLAD does two 16-bit multiply-accumulates a cycle; one 32-bit access a cycle is "
            "assumed. Clock as benchmarked.",
            (
                *_tiny("TensorFlow Lite Micro 2.3.1", 120e6, _TINY_05, "int8",
                       ic=1e3 / 1.420, vww=1e3 / 1.665, kws=1e3 / 5.497, ad=1e3 / 99.487),
                *_tiny("microTVM with CMSIS-NN", 120e6, _TINY_10, "int8",
                       ic=1e3 / 2.567, vww=1e3 / 3.320, kws=1e3 / 10.019, ad=1e3 / 116.212),
                *_tiny("X-CUBE-AI 7.3", 120e6, _TINY_10, "int8",
                       ic=1e3 / 4.407, vww=1e3 / 4.339, kws=1e3 / 13.323, ad=1e3 / 131.950),
            ),
        ),
        Device(
            "cortex-m7", "Cortex-M7 at 216 MHz (STM32F746)", 216e6, {"int8": 2}, 864e6,
            "As the Cortex-M4; the pipeline issues two instructions a cycle, which the published "
            "latencies show.",
            (
                *_tiny("Plumerai", 216e6, _TINY_10, "int8",
                       ic=1e3 / 15.440, vww=1e3 / 17.535, kws=1e3 / 52.288, ad=1e3 / 435.741),
                *_tiny("X-CUBE-AI 7.3", 280e6, _TINY_10, "int8",
                       ic=1e3 / 18.401, vww=1e3 / 19.722, kws=1e3 / 59.667, ad=1e3 / 547.705),
            ),
        ),
    )
}  # fmt: skip


def work_of(source: str | os.PathLike[str] | bytes | Graph | Costs) -> Work:
    """Return the work of one inference of a ``.tflite`` file, in elements.

    Raises
    ------
    EdgeError
        If the file cannot be read or is damaged.
    """
    costs = source if isinstance(source, Costs) else count_costs(source)
    return Work(costs.macs, costs.weight_elements, costs.activation_elements)


def estimate(
    work: Work,
    device: str,
    arithmetic: Arithmetic = "int8",
    stack: str | None = None,
    clock_hz: float | None = None,
    leave_out: str | None = None,
) -> Estimate:
    """Estimate the latency of one inference on a device that is not here.

    Parameters
    ----------
    work
        From :func:`work_of`.
    device
        Name in ``DEVICES``.
    arithmetic
        Number format it would run in.
    stack
        Software to calibrate on; None takes every published one, and a wider error bar.
    clock_hz
        Clock of the device; None takes its own.
    leave_out
        Network in ``NETWORKS`` whose published latencies are not used, so that the estimate can be
        held against them.

    Returns
    -------
    Estimate
        Estimate, error bar and what they rest on.

    Raises
    ------
    EdgeError
        If the device, stack or network is unknown, the device does not compute in that format, or
        fewer than two latencies are published for it.
    """
    chosen = _find(device, arithmetic)
    if leave_out is not None:
        require_choice("leave_out", leave_out, NETWORKS)
    points = [
        p for p in chosen.published
        if p.arithmetic == arithmetic and stack in (None, p.stack) and p.network != leave_out
    ]  # fmt: skip
    if len(points) < 2:
        stacks = sorted({p.stack for p in chosen.published if p.arithmetic == arithmetic})
        raise EdgeError(
            f"{len(points)} latencies are published for {device}, {arithmetic}"
            f"{f', {stack}' if stack else ''}; an error bar needs two. Known software: "
            f"{', '.join(stacks) or 'none'}."
        )
    if clock_hz is not None and not 0 < clock_hz < math.inf:
        raise EdgeError(f"clock_hz={clock_hz!r} must be a positive number of hertz.")
    bound, bound_by = roofline(work, chosen, arithmetic, clock_hz or chosen.clock_hz)
    bounds = [_bound_of(p, chosen) for p in points]
    logs = [math.log(p.milliseconds / b) for p, b in zip(points, bounds, strict=True)]
    middle, factor = math.exp(statistics.fmean(logs)), _factor(logs)
    low, high = max(bound, bound * middle / factor), bound * middle * factor
    return Estimate(
        chosen.name, arithmetic, bound * middle, low, high, bound, bound_by, middle, len(points),
        (min(bounds), max(bounds)),
    )  # fmt: skip


def roofline(work: Work, device: Device, arithmetic: str, clock_hz: float) -> tuple[float, str]:
    """Return the least milliseconds if all tensors come from memory, and what bounds them.

    The bandwidth is taken to scale with the clock, as on a microcontroller.

    Parameters
    ----------
    work
        Of one inference.
    device, arithmetic
        What runs it, in which number format.
    clock_hz
        Clock in hertz.

    Returns
    -------
    milliseconds, bound_by
        The latter is ``"compute"`` or ``"memory"``.
    """
    compute = work.macs / (device.macs_per_cycle[arithmetic] * clock_hz)
    moved = (work.weights + work.activations) * _BYTES[arithmetic]
    memory = moved / (device.bytes_per_second * clock_hz / device.clock_hz)
    return max(compute, memory) * 1e3, "compute" if compute >= memory else "memory"


def _bound_of(point: Published, device: Device) -> float:
    return roofline(NETWORKS[point.network], device, point.arithmetic, point.clock_hz)[0]


def _factor(logs: list[float]) -> float:
    """Half-width of a log-normal prediction interval of one more latency, as a factor."""
    count = len(logs)
    quantile = _T90[count - 2] if count - 2 < len(_T90) else _Z90
    return math.exp(quantile * statistics.stdev(logs) * math.sqrt(1 + 1 / count))


def _find(device: str, arithmetic: str) -> Device:
    require_choice("device", device, DEVICES)
    require_choice("arithmetic", arithmetic, get_args(Arithmetic))
    found = DEVICES[device]
    if arithmetic not in found.macs_per_cycle:
        raise EdgeError(
            f"{found.title} has no {arithmetic} figures: choose "
            f"{' or '.join(found.macs_per_cycle)}. {found.constants}"
        )
    return found
