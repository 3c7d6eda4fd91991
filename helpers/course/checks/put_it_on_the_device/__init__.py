"""Checks of lab 5, *Put it on the device*: codes, runtimes, and what a speaker accepts."""

from __future__ import annotations

from helpers.course.checks.put_it_on_the_device.codes import CHANNELS, QUANTISE, RANGE, SAMPLE
from helpers.course.checks.put_it_on_the_device.measurements import AGREEMENT, TAIL
from helpers.course.checks.put_it_on_the_device.release import GATE, STOPPED_BY, STOPS
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB", "STOPS"]

LAB = LabSpec(
    name="put-it-on-the-device",
    number=5,
    title="Put it on the device",
    minutes=120,
    tasks=(QUANTISE, RANGE, SAMPLE, CHANNELS, AGREEMENT, TAIL, GATE, STOPPED_BY),
    memos=(
        Memo(
            "memo", "Release note: does this model go to the speakers",
            words=(150, 300),
            rubric=(
                "Decides: release, release to a few speakers first, or hold; and names the "
                "measurement that would turn the decision round.",
                "Gives what int8 costs in accuracy with its uncertainty, on how many clips, and "
                "says that the voices are synthetic and what that leaves open.",
                "Tells measured from estimated: size and accuracy are measured, latency on the "
                "speaker is an estimate with a range, and what was timed on a desktop says nothing "
                "about it.",
                "Says whom the seal and the signature stop and whom they do not, with what was "
                "read from the memory of the running speaker as evidence.",
                "Proposes what comes next against the attacker who got the weights, with its "
                "price: a key in each speaker, hardware that keeps key and computation inside, a "
                "watermark to recognise the copy.",
            ),
        ),
    ),
)  # fmt: skip
