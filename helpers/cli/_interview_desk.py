"""The terminal of ``edgesec interview``: show a question, take an answer, show what it earned."""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from helpers.errors import InterviewError

if TYPE_CHECKING:
    from helpers.interview.log import Attempt
    from helpers.interview.question import Question
    from helpers.interview.scoring import Score
    from helpers.interview.sitting import Sitting

_HELP = "End with a line that holds a single dot. /edit opens your editor, /skip, /quit."
_SHORT_HELP = "/skip goes on without an answer, /quit stops."


class Skipped(Exception):  # noqa: N818  (not an error: what the candidate asked for)
    """The candidate goes on without an answer."""


class Stopped(Exception):  # noqa: N818
    """The candidate has had enough for now."""


@contextlib.contextmanager
def leaving(going_on: str = "") -> Iterator[None]:
    """Let the candidate skip what is inside, or stop here; the command `going_on` goes on then.

    Raises
    ------
    click.exceptions.Exit
        With code 130, if the candidate stops.
    """
    try:
        yield
    except Skipped:
        click.echo("skipped")
    except (Stopped, KeyboardInterrupt):
        click.echo("\nstopped; what was committed is kept")
        if going_on:
            click.echo(f"go on with: {going_on}")
        raise click.exceptions.Exit(130) from None


def sit(sitting: Sitting, heading: str, follow_ups: bool = True) -> Score:
    """Put one question to the candidate, from the scenario to the last follow-up.

    Raises
    ------
    Skipped, Stopped
        If the candidate asks for it.
    """
    question = sitting.question
    _show_question(question, heading)
    with _reminder(question.minutes):
        score = _commit(sitting)
    score = _settle(sitting, score)
    if follow_ups:
        _dig(sitting)
    return score


def settle(sitting: Sitting, attempt: Attempt, heading: str) -> Score:
    """Score an answer that was committed before a break.

    Raises
    ------
    Skipped, Stopped
        If the candidate asks for it.
    """
    _show_question(sitting.question, heading)
    click.secho("Your answer, committed before the break:", bold=True)
    click.echo(textwrap.indent(attempt.answer, "  "))
    return _settle(sitting, sitting.reopen(attempt))


def _show_question(question: Question, heading: str) -> None:
    click.secho(f"\n{heading}", bold=True)
    kind = f"{question.level} · {question.topic} · {question.format} · {question.minutes} min"
    click.secho(_wrapped(f"{question.title}  [{kind}]", _width()), fg="cyan")
    say(question.prompt)
    _show_material(question)


def _settle(sitting: Sitting, score: Score | None) -> Score:
    """Show the score, or ask for it where no machine gives one, and what was right."""
    if score is None:
        score = _self_assessed(sitting)
    else:
        _show_score(score)
    say(sitting.model_answer)
    _point_on(sitting.question)
    return score


def say(markdown: str) -> None:
    """Print Markdown wrapped to the terminal, paragraph by paragraph; code stays as it is."""
    click.echo()
    width = _width()
    for block in re.split(r"(```.*?```)", markdown.strip(), flags=re.DOTALL):
        if block.startswith("```"):
            click.echo(textwrap.indent(re.sub(r"^```.*$", "", block, flags=re.M).strip("\n"), "  "))
            click.echo()
            continue
        for paragraph in filter(str.strip, re.split(r"\n\s*\n", block)):
            click.echo(_styled(_wrapped(paragraph, width)))
            click.echo()


def _width() -> int:
    return min(88, shutil.get_terminal_size().columns - 2)


def _wrapped(paragraph: str, width: int) -> str:
    lines: list[str] = []
    for line in re.split(r"\n(?=[-*|] |\d+\. )", paragraph.strip("\n")):
        indent = "  " if re.match(r"[-*] |\d+\. ", line) else ""
        text = line if line.startswith("|") else " ".join(line.split())
        lines += textwrap.wrap(text, width, subsequent_indent=indent) or [""]
    return "\n".join(lines)


def _styled(text: str) -> str:
    text = re.sub(
        r"\*\*(.+?)\*\*", lambda found: click.style(found[1], bold=True), text, flags=re.S
    )
    emphasised = r"(?<![\w*])\*(\w[^*]*?)\*(?![\w*])"
    return re.sub(emphasised, lambda found: click.style(found[1], italic=True), text)


def _show_material(question: Question) -> None:
    from helpers.interview.sitting import LETTERS

    for letter, option in zip(LETTERS, question.options, strict=False):
        click.echo(_wrapped(f"{letter}. {option.text}", _width()))
    if question.code:
        click.echo(textwrap.indent(question.code.stub, "    "))
    if question.options:
        click.echo()


@contextlib.contextmanager
def _reminder(minutes: int) -> Iterator[None]:
    """Say once when the time for a question is over; the answer may still be given."""

    def ring() -> None:
        click.secho(f"\n[the {minutes} minutes for this question are over]", fg="yellow", err=True)

    timer = threading.Timer(60.0 * minutes, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _commit(sitting: Sitting) -> Score | None:
    """Take an answer until it can be read, and then a confidence."""
    while True:
        answer = _ask(sitting.question)
        try:
            sitting.require_readable(answer)
        except InterviewError as error:
            click.secho(f"{error}", fg="yellow")
            continue
        return sitting.commit(answer, _confidence())


def _ask(question: Question) -> str:
    if question.format in ("numeric", "choice", "select-the-threats"):
        wanted = {
            "numeric": f"Your number, in {question.numeric.unit}" if question.numeric else "",
            "choice": "Your choice (a letter)",
            "select-the-threats": "Your threats (letters, such as: a c)",
        }[question.format]
        if question.numeric and question.numeric.unit == "1":
            wanted = "Your number"
        click.secho(_SHORT_HELP, dim=True)
        return _line(f"{wanted}: ")
    click.secho(_HELP, dim=True)
    return _lines(question.code.stub if question.code else "")


def _line(prompt: str) -> str:
    try:
        text = input(prompt)
    except EOFError:
        raise Stopped from None
    word = text.strip().lower()
    if word == "/skip":
        raise Skipped
    if word == "/quit":
        raise Stopped
    return text


def _lines(start: str) -> str:
    lines: list[str] = []
    while True:
        try:
            line = _line("| ")
        except Stopped:
            if any(map(str.strip, lines)):  # the end of the input ends the answer
                return "\n".join(lines)
            raise
        if line.strip() == "/edit":
            text = click.edit("\n".join(lines) or start, extension=".py" if start else ".md")
            if text is not None:
                return text
            click.secho("the editor saved nothing; go on here", fg="yellow")
        elif line.strip() == ".":
            return "\n".join(lines)
        else:
            lines.append(line)


def _confidence() -> float:
    while True:
        text = _line("How many of the points will that earn? (0 to 100 %): ").strip().rstrip("%")
        if text.strip().isdecimal() and int(text) <= 100:
            return int(text) / 100
        click.secho("type a whole number from 0 to 100", fg="yellow")


def _self_assessed(sitting: Sitting) -> Score:
    if sitting.excuse:
        click.secho(sitting.excuse, fg="yellow")
    click.secho(
        "\nRubric: tick only what your answer says, as a stranger would read it.", bold=True
    )
    say(sitting.rubric)
    while True:
        text = _line("Points that are in your answer (numbers, such as: 1 3; Enter for none): ")
        numbers = re.findall(r"\d{1,3}", text)
        if re.sub(r"[\d\s,;.]", "", text):
            click.secho("type numbers only", fg="yellow")
            continue
        try:
            score = sitting.tick([int(number) - 1 for number in numbers])
        except InterviewError as error:
            click.secho(f"{error}", fg="yellow")
            continue
        _show_score(score)
        return score


def _show_score(score: Score) -> None:
    colour = "green" if score.points >= 0.75 else "yellow" if score.points >= 0.5 else "red"
    click.secho(f"\n{score.points:.0%}", fg=colour, bold=True)
    for line in score.text.splitlines():
        click.echo(_wrapped(line, _width()))


def _point_on(question: Question) -> None:
    pages = [f"chapters/{name}" for name in question.chapters]
    pages += [f"labs/{name}" for name in question.labs]
    click.secho(f"Read on: {', '.join(pages)}", dim=True)


def _dig(sitting: Sitting) -> None:
    chain = sitting.question.follow_ups
    for number, follow_up in enumerate(chain, 1):
        click.secho(f"\nFollow-up {number} of {len(chain)}", bold=True)
        say(follow_up.question)
        try:
            _line("Answer aloud, then press Enter (/skip ends the chain): ")
            say(follow_up.answer)
            had_it = _line("Did you have it? [y/N]: ").strip().lower() in ("y", "yes")
        except Skipped:
            return
        sitting.follow_up(had_it)
