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

from helpers.course.generate import write_atomically
from helpers.course.grading.lab import GradedLab
from helpers.course.grading.marks import MOST, Marked, MemoMark, pending
from helpers.course.grading.records import Record
from helpers.course.grading.tables import total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STATUSES = ("passed", "mismatch", "error", "not attempted")
_MESSAGES = 8  # commonest failures that are shown
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin-top: 2rem; }
pre { background: #8881; padding: .6rem; overflow-x: auto; white-space: pre-wrap;
      overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }
pre, td { unicode-bidi: isolate; }
.passed { border-left: .4rem solid #009e73; padding-left: .8rem; }
.lost { border-left: .4rem solid #d55e00; padding-left: .8rem; }
img { max-width: 100%; background: white; }
"""
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
"""
_FEEDBACK = (
    _HEAD
    + """<h1>{{ title }}</h1>
<p><bdi>{{ record.learner }}</bdi>:
<strong>{{ record.points }} of {{ record.max_points }} points</strong> for the exercises
{%- if memos %};
{% if total is none %}your memo is not marked yet{% else %}with the memo
<strong>{{ total }} of {{ most }}</strong>{% endif %}{% endif %}.</p>
{% if record.state != "graded" %}<p>{{ excuse }}</p>{% endif %}
{% for task in record.tasks %}
<section class="{{ 'passed' if task.status == 'passed' else 'lost' }}">
<h2>{{ task.task }} · {{ task.title }}: {{ task.points }} of {{ task.max_points }}</h2>
<p>{{ words["hidden" if task.hidden else task.status] }}</p>
{% for name, text in (("You wrote", task.answer), ("It was called as", task.called),
    ("Expected", task.expected), ("Got", task.got), ("Why not", task.explanation),
    ("Hint", task.hint)) %}{% if text %}<h3>{{ name }}</h3><pre>{{ text }}</pre>{% endif %}
{% endfor %}</section>
{% endfor %}
{% for memo in memos %}
<section><h2>{{ memo.title }}:
{% if memo.points is none %}not marked yet{% else %}{{ memo.points }} of {{ memo.most }}{% endif %}
</h2>
{% if not memo.handed_in %}<p>You have handed in no text.</p>{% else %}
<p>Read by a person, against the rubric.</p><pre>{{ record.memos[memo.name] }}</pre>
{% if memo.points is not none %}<table><tr><th>the text<th>points of {{ line_most }}</tr>
{% for text, points in memo.lines %}<tr><td>{{ text }}<td>{{ points }}</tr>{% endfor %}</table>
{% if memo.comment %}<h3>Comment</h3><pre>{{ memo.comment }}</pre>{% endif %}
{% endif %}{% endif %}</section>{% endfor %}
</body></html>
"""
)
_SUMMARY = (
    _HEAD
    + """<h1>{{ title }}</h1>
<p>{{ records|length }} submissions; mean {{ "%.1f"|format(mean) }} of {{ most }} points for the
exercises{% if pending %}; {{ pending }} memos to be read yet{% endif %}.</p>
{% for name, image in plots %}<h2>{{ name }}</h2><img alt="{{ name }}" src="{{ image }}">
{% endfor %}
<h2>Look at these</h2>
<table><tr><th>learner<th>file<th>status<th>points<th>notes</tr>
{% for record in records if record.notes or record.state != "graded" %}
<tr><td><a href="feedback/{{ record.ident }}.html">{{ record.learner }}</a>
<td>{{ record.source }}<td>{{ record.state }}
<td>{{ record.points }}<td>{% for note in record.notes %}{{ note }}<br>{% endfor %}</tr>
{% endfor %}</table>
<h2>Everyone</h2>
<table><tr><th>learner{% for task in tasks %}<th>{{ task.name }}{% endfor %}<th>exercises
{% for memo in memos %}<th>{{ memo.name }}{% endfor %}<th>total<th>s</tr>
{% for record in records %}<tr>
<td><a href="feedback/{{ record.ident }}.html">{{ record.learner }}</a>
{% for task in record.tasks %}<td>{{ task.points }}{% endfor %}
<td>{{ record.points }}
{% for memo in marks[record.ident] %}<td>
{{ "pending" if memo.points is none else memo.points }}{% endfor %}
<td>{{ "pending" if totals[record.ident] is none else totals[record.ident] }}
<td>{{ "%.0f"|format(record.seconds) }}</tr>{% endfor %}</table>
</body></html>
"""
)
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

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    # A lone surrogate, which JSON can carry, has no form in a file.
    text = environment.from_string(template).render(style=_STYLE, **values)
    return text.encode("utf-8", "replace").decode("utf-8")


def feedback(lab: GradedLab, record: Record, memos: Sequence[MemoMark]) -> str:
    """Return the page that tells one learner what their answers earned and why."""
    return _render(
        _FEEDBACK,
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
        _SUMMARY,
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
