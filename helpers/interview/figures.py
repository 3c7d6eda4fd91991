"""Calibration as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers.interview.calibration import calibrate, over_time
from helpers.interview.log import Attempt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def calibration_figure(attempts: Sequence[Attempt], window: int = 10) -> Figure:
    """Draw confidence against points, and both over time.

    Parameters
    ----------
    attempts
        As a log has them; unscored ones are left out.
    window
        Attempts in each mean over time.

    Returns
    -------
    Figure
        Left: one mark for each interval of confidence, with its number of answers, and the line
        on which a calibrated candidate lies. Right: both means over the latest answers.

    Raises
    ------
    InterviewError
        If nothing has been scored.
    """
    import matplotlib.pyplot as plt

    from helpers.plots import COLOURS, curves

    found = calibrate(attempts)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), facecolor="white", layout="constrained"
    )
    left.plot([0, 1], [0, 1], color="#777777", linestyle=":", label="calibrated")
    for count, confidence, points in found.bins:
        left.plot(confidence, points, "o", color=COLOURS[0])
        left.annotate(f" {count}", (confidence, points), va="top", fontsize=11)
    left.set(
        xlabel="points expected (share)", ylabel="points earned (share)",
        xlim=(-0.03, 1.06), ylim=(-0.05, 1.05), title="Confidence and points",
    )  # fmt: skip
    left.legend(loc="upper left")
    series = over_time(attempts, window)
    numbers = list(range(1, len(series) + 1))
    curves(
        {
            "expected": (numbers, [expected for _, expected, _ in series]),
            "earned": (numbers, [earned for _, _, earned in series]),
        },
        "answers so far",
        f"mean of the last {window} (share)",
        right,
        title="Over time",
        ylim=(-0.05, 1.05),
    )
    return figure
