"""The interview questions as pages, and at the end of each chapter those that it prepares for.

``{interview-questions} TOPIC`` and ``{interview-index}`` make the pages, ``{interview-about}`` the
list of a chapter.

A page asks and hides its answers in ``<details>``, which open on request and need no script. What
filters the questions is ``_static/questions.js``; without it all of them are shown.
"""

from __future__ import annotations

import contextlib
import functools
import html
from collections.abc import Iterable, Mapping
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from helpers.course.interview_answers import calculate
from helpers.errors import InterviewError
from helpers.interview import FORMATS, LEVELS, TOPICS, Question, load_bank, prepare
from helpers.interview.loading import BANK
from helpers.interview.pages import answered, asked, rubric

LOGGER = logging.getLogger(__name__)


@functools.cache
def _bank() -> dict[str, Question]:
    """Read the bank once a process, with its numbers computed."""
    return {name: prepare(question, calculate) for name, question in load_bank().items()}


def read_ahead(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Read the bank before Sphinx forks the processes that read pages, or each of them reads it.

    What is wrong with it the directives tell, at their place.
    """
    if app.parallel > 1 and any(name.startswith("chapters/questions/") for name in names):
        with contextlib.suppress(InterviewError):
            _bank()


class _FromBank(SphinxDirective):
    """What the directives share: the bank, and a page that is read again when it changes."""

    def questions(self) -> list[Question]:
        """Return all questions; an error in the bank is a warning, and so fails the build."""
        for path in sorted(BANK.glob("*/*.yaml")):
            self.env.note_dependency(str(path))
        try:
            return list(_bank().values())
        except InterviewError as error:
            LOGGER.warning("%s", error, location=(self.env.docname, self.lineno))
            return []

    def markdown(self, text: str, into: nodes.Element) -> None:
        """Parse Markdown as the page itself would, and put it into a node."""
        lines = StringList(text.splitlines(), source="question bank")
        self.state.nested_parse(lines, self.content_offset, into)


class InterviewQuestions(_FromBank):
    """The questions of one topic, each a section with its answer behind a button."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the filters and one section a question."""
        topic = self.arguments[0]
        chosen = [question for question in self.questions() if question.topic == topic]
        if not chosen:
            where = (self.env.docname, self.lineno)
            LOGGER.warning("no question has the topic %r", topic, location=where)
            return []
        return [_filters(chosen, ("level", "format")), *map(self._section, chosen)]

    def _section(self, question: Question) -> nodes.section:
        section = nodes.section(ids=[question.id], names=[question.id])
        section["classes"] += ["question", *(_tag(*pair) for pair in _facts(question))]
        section.document = self.state.document
        title = nodes.title(question.title, question.title)
        section += [title, _kind(question)]
        self.markdown(asked(question), section)
        answer = f"{answered(question)}\n\n{_links(question)}"
        self._details(section, "Model answer", answer)
        self._details(section, "Rubric: what a good answer says", _rubric(question))
        wrong = f"> {_quoted(question.wrong_answer)}\n\n**The mistake.** {question.mistake}"
        self._details(section, "What a wrong answer sounds like", wrong)
        for number, follow_up in enumerate(question.follow_ups, 1):
            summary = f"Then they ask ({number} of {len(question.follow_ups)})"
            self._details(section, summary, f"**{follow_up.question}**\n\n{follow_up.answer}")
        return section

    def _details(self, section: nodes.section, summary: str, text: str) -> None:
        section += _raw(f'<details class="answer"><summary>{html.escape(summary)}</summary>')
        self.markdown(text, section)
        section += _raw("</details>")


class InterviewIndex(_FromBank):
    """All questions as one list, with filters; each leads to its place on a topic's page."""

    def run(self) -> list[nodes.Node]:
        """Return the filters and the list."""
        questions = self.questions()
        filters = _filters(questions, ("topic", "level", "format"))
        return [filters, _raw(_list(questions))]


class InterviewAbout(_FromBank):
    """The questions that the chapter in which it stands prepares for, from easy to hard."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        chapter = self.env.docname.rpartition("/")[2]
        chosen = [question for question in self.questions() if chapter in question.chapters]
        chosen.sort(key=lambda question: LEVELS.index(question.level))
        return [_raw(_list(chosen, "questions/"))] if chosen else []


def _list(questions: Iterable[Question], folder: str = "") -> str:
    rows = "".join(
        f'<li class="question {" ".join(_tag(*pair) for pair in _facts(q))}">'
        f'<a href="{folder}{q.topic}.html#{q.id}">{html.escape(q.title)}</a> '
        f'<span class="question-kind">{html.escape(_described(q))}</span></li>'
        for q in questions
    )
    return f'<ul class="question-list">{rows}</ul>'


def _filters(questions: Iterable[Question], names: tuple[str, ...]) -> nodes.raw:
    """Return the form that filters; hidden until the script that serves it is there."""
    listed = list(questions)
    words: dict[str, Mapping[str, str | None]] = {
        "topic": TOPICS,
        "level": dict.fromkeys(LEVELS),
        "format": dict.fromkeys(FORMATS),
    }
    fields = []
    for name in names:
        used = {str(getattr(question, name)) for question in listed}
        options = "".join(
            f'<option value="{word}">{html.escape(title or word)}</option>'
            for word, title in words[name].items()
            if word in used
        )
        fields.append(
            f'<label>{name.capitalize()} <select name="{name}"><option value="">all</option>'
            f"{options}</select></label>"
        )
    return _raw(
        f'<form class="question-filters" hidden>{"".join(fields)}'
        f'<output role="status">{len(listed)} questions</output></form>'
    )


def _facts(question: Question) -> tuple[tuple[str, str], ...]:
    return (("topic", question.topic), ("level", question.level), ("format", question.format))


def _tag(name: str, word: str) -> str:
    """Return the CSS class under which the script finds a question."""
    return f"is-{name}-{word}"


def _described(question: Question) -> str:
    return f"{question.level} · {question.format} · {question.minutes} min"


def _kind(question: Question) -> nodes.paragraph:
    return nodes.paragraph("", _described(question), classes=["question-kind"])


def _links(question: Question) -> str:
    pages = [f"[](../{name}.md)" for name in question.chapters]
    pages += [f"[](../../labs/{name}.ipynb)" for name in question.labs]
    return f"Read on: {' · '.join(pages)}"


def _rubric(question: Question) -> str:
    total = sum(point.weight for point in question.rubric)
    return f"Tick what your answer says; the weights add up to {total}.\n\n{rubric(question)}"


def _quoted(text: str) -> str:
    return text.replace("\n", "\n> ")


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("interview-questions", InterviewQuestions)
    app.add_directive("interview-index", InterviewIndex)
    app.add_directive("interview-about", InterviewAbout)
    app.connect("env-before-read-docs", read_ahead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
