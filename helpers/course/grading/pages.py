"""Feedback for each learner and a summary of the class, each one HTML file without links.

Everything that a learner wrote is escaped where it is shown, and the pages forbid scripts.
"""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers._files import write_atomically
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.marks import MOST, Marked, MemoMark, pending
from helpers.course.grading.records import Record
from helpers.course.grading.tables import total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STATUSES = ("passed", "mismatch", "error", "not attempted")
_MESSAGES = 8  # commonest failures that are shown
_WORDS = {
    "passed": "Right",
    "mismatch": "Not right yet",
    "error": "It ended in an error",
    "hidden": "Right on the inputs you can see, not on others",
    "not attempted": "Not attempted",
}
_EXCUSES = {
    "not a notebook": "Your file could not be read as a notebook. Save it again and hand it in.",
    "another lab": "This is the notebook of another lab.",
    "stopped": "Your notebook could not be run to its end.",
}


def _render(template: str, **values: object) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("helpers.course.grading", "templates"),
    )
    text = environment.get_template(template).render(**values)
    # A lone surrogate, which JSON can carry, has no form in a file.
    return text.encode("utf-8", "replace").decode("utf-8")


def feedback(lab: GradedLab, record: Record, memos: Sequence[MemoMark]) -> str:
    """Return the page that tells one learner what their answers earned and why."""
    return _render(
        "feedback.html",
        title=lab.spec.title,
        record=record,
        words=_WORDS,
        excuse=_EXCUSES.get(record.state, ""),
        memos=memos,
        total=total(record, memos),
        most=record.max_points + sum(memo.most for memo in memos),
        line_most=MOST,
    )


def write_pages(out: Path, lab: GradedLab, records: Sequence[Record], memos: Marked) -> Path:
    """Write one page a learner and the summary, and return where that lies."""
    for record in records:
        page = feedback(lab, record, memos[record.ident])
        write_atomically(out / "feedback" / f"{record.ident}.html", page)
    write_atomically(out / "summary.html", summary(lab, records, memos))
    return out / "summary.html"


def summary(lab: GradedLab, records: Sequence[Record], memos: Marked) -> str:
    """Return the page for the instructor: how the class did, and what needs a look."""
    plots = [
        ("How each task went", _image(lambda ax: _draw_tasks(ax, lab, records))),
        ("Time to grade a submission", _image(lambda ax: _draw_times(ax, records))),
    ]
    messages = failure_messages(records)
    if messages:
        plots.insert(1, ("Commonest failures", _image(lambda ax: _draw_messages(ax, messages))))
    points = sum(record.points for record in records)
    return _render(
        "summary.html",
        title=f"{lab.spec.title}: the class",
        records=records,
        tasks=lab.spec.tasks,
        plots=plots,
        mean=points / max(len(records), 1),
        most=lab.spec.points,
        memos=lab.spec.memos,
        marks=memos,
        totals={record.ident: total(record, memos[record.ident]) for record in records},
        pending=pending(memos),
    )


def failure_messages(records: Sequence[Record]) -> list[tuple[str, int]]:
    """Return the commonest explanations with their counts; numbers in them are left out."""
    found: Counter[str] = Counter()
    for record in records:
        for task in record.tasks:
            if task.status in ("mismatch", "error"):
                line = re.sub(
                    r"-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?", "#", task.explanation.partition("\n")[0]
                )
                found[f"{task.task}: {line}"[:70]] += 1
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))[:_MESSAGES]


def _image(draw: Callable[[Axes], object]) -> str:
    """Draw on new axes and return the figure as a data address."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from helpers.plots import use_style

    stream = io.BytesIO()
    with mpl.rc_context():
        use_style()
        figure = Figure(figsize=(8.0, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
        figure.savefig(stream, format="png", dpi=120)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _draw_tasks(ax: Axes, lab: GradedLab, records: Sequence[Record]) -> None:
    import numpy as np

    from helpers.plots import COLOURS

    names = [f"{task.name} ({task.points} p.)" for task in lab.spec.tasks]
    left = np.zeros(len(names))
    hatches = ("", "//", "xx", "..")
    for place, status in enumerate(_STATUSES):
        counts = np.zeros(len(names))
        for record in records:
            counts += [task.status == status for task in record.tasks]
        ax.barh(
            names, counts, left=left, label=status, color=COLOURS[(2, 1, 3, 5)[place]],
            hatch=hatches[place], edgecolor="white",
        )  # fmt: skip
        left += counts
    ax.invert_yaxis()
    ax.set_xlabel("submissions")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, frameon=False)


def _draw_messages(ax: Axes, messages: Sequence[tuple[str, int]]) -> None:
    from helpers.plots import bars_with_values

    # A dollar sign would begin a formula. What has no picture in the font, such as half a
    # character, would end the drawing or fill the terminal with warnings.
    values: Counter[str] = Counter()
    for text, count in messages:
        values["".join(_drawable(text)).replace("$", r"\$")] += count
    bars = {text: float(count) for text, count in values.items()}
    bars_with_values(bars, "submissions", ax, value_format=lambda value: f"{value:.0f}")


def _drawable(text: str) -> Iterator[str]:
    from matplotlib import font_manager, ft2font

    font = ft2font.FT2Font(font_manager.findfont(font_manager.FontProperties()))
    known = font.get_charmap()
    return (c if c.isprintable() and ord(c) in known else "\N{REPLACEMENT CHARACTER}" for c in text)


def _draw_times(ax: Axes, records: Sequence[Record]) -> None:
    from helpers.plots import COLOURS

    ax.hist([record.seconds for record in records], bins=20, color=COLOURS[0])
    ax.set_xlabel("time to grade (s)")
    ax.set_ylabel("submissions")
