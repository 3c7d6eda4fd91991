"""``edgesec interview``: practise for an interview."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.errors import InterviewError

if TYPE_CHECKING:
    from helpers.interview.checking import Outside
    from helpers.interview.coverage import Row
    from helpers.interview.log import Attempt, PracticeLog
    from helpers.interview.question import Question
    from helpers.interview.sitting import Sitting

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_log = click.option(
    "--log", "log_path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="The practice log.  [default: interview.jsonl in $EDGESEC_HOME, or in the folder for "
         "user data]",
)  # fmt: skip
_seed = click.option(
    "--seed", type=click.IntRange(min=0), help="Makes the choice repeatable.  [default: drawn]"
)


def _choice_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option("--level", "levels", multiple=True, metavar="LEVEL",
                     help="junior, mid, senior or principal; may be repeated."),
        click.option("--topic", "topics", multiple=True, metavar="TOPIC",
                     help="A topic, as `edgesec interview coverage` lists them; may be repeated."),
        click.option("--format", "formats", multiple=True, metavar="FORMAT",
                     help="explain, design, debug, numeric, choice, select-the-threats or code."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.group(name="interview", context_settings=_HELP)
def command() -> None:
    """Practise for an interview: mock, drill, review.

    Commit an answer and how sure you are; only then comes the score. Numbers, choices, threats and
    code are scored by machine, prose by you against a rubric. Everything is kept in a local log.
    """


# --- practising -----------------------------------------------------------------------------------


@command.command(context_settings=_HELP)
@_choice_options
@click.option("--minutes", type=click.IntRange(5, 240), default=45, show_default=True,
              help="Time for all answers together.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the latest mock that was broken off.")
@_seed
@_log
def mock(levels: tuple[str, ...], topics: tuple[str, ...], formats: tuple[str, ...], minutes: int,
         resume: bool, seed: int | None, log_path: Path | None) -> None:  # fmt: skip
    """Take a mock interview: questions of many topics, levels rising, against the clock.

    The clock runs while you answer, not while you read what was right.
    """
    from helpers.interview import choosing
    from helpers.interview.log import Mock, new_id

    bank, log = _bank(), _open(log_path)
    record = log.read()
    if resume:
        open_mocks = [mock for mock in record.mocks if not mock.ended]
        if not open_mocks:
            raise InterviewError("no mock was broken off: begin one with edgesec interview mock")
        begun = open_mocks[-1]
    else:
        questions = choosing.select(bank, levels, topics, formats)
        chosen = choosing.choose_mock(questions, minutes, record.attempts, random.Random(seed))
        begun = Mock(new_id(), _now(), tuple(q.id for q in chosen), minutes)
        log.begin(begun)
    mine = [a for a in record.attempts if a.sitting == begun.id]
    _settle(mine, log, bank)
    done = {a.question for a in mine}
    left = [bank[name] for name in begun.questions if name in bank and name not in done]
    click.echo(f"{len(left)} questions, {sum(q.minutes for q in left)} minutes. Ctrl-C breaks off; "
               "what is committed is kept.")  # fmt: skip
    spent = sum(a.seconds for a in mine)
    _put(left, log, begun.id, begun.minutes * 60 - spent, follow_ups=False)
    log.end(begun.id)
    _show_mock(log, begun.id, bank)


@command.command(context_settings=_HELP)
@_choice_options
@click.option("--count", type=click.IntRange(1, 200), default=5, show_default=True,
              help="Questions.")  # fmt: skip
@click.option("--id", "ids", multiple=True, metavar="ID", help="This very question.")
@_seed
@_log
def drill(levels: tuple[str, ...], topics: tuple[str, ...], formats: tuple[str, ...], count: int,
          ids: tuple[str, ...], seed: int | None, log_path: Path | None) -> None:  # fmt: skip
    """Drill a topic or a level, with follow-ups; the least practised questions come first."""
    from helpers.interview import choosing

    bank, log = _bank(), _open(log_path)
    if ids:
        chosen = [_find(bank, name) for name in ids]
    else:
        questions = choosing.select(bank, levels, topics, formats)
        attempts = log.read().attempts
        chosen = choosing.choose_drill(questions, attempts, random.Random(seed))[:count]
    _put(chosen, log, "drill")


@command.command(context_settings=_HELP)
@click.option("--count", type=click.IntRange(1, 200), default=10, show_default=True,
              help="Questions at most.")  # fmt: skip
@_log
def review(count: int, log_path: Path | None) -> None:
    """Answer again what is due today, as the spaced-repetition schedule has it."""
    from helpers.interview.schedule import due, memories

    bank, log = _bank(), _open(log_path)
    _settle(log.read().attempts, log, bank)
    attempts, now = log.read().attempts, _now()
    waiting = [bank[name] for name in due(attempts, now) if name in bank]
    if not waiting:
        later = memories(attempts, now)
        when = f"; the next one is due on {later[0].due:%Y-%m-%d}" if later else ""
        click.echo(f"nothing is due{when}")
        return
    click.echo(f"{len(waiting)} due")
    _put(waiting[:count], log, "review")


def _put(
    questions: Sequence[Question],
    log: PracticeLog,
    sitting: str,
    seconds: float | None = None,
    follow_ups: bool = True,
) -> None:
    """Put questions one after the other, until there are none, or the time is over."""
    from helpers.cli import _interview_desk as desk

    outside = _outside()
    for number, question in enumerate(questions, 1):
        heading = f"Question {number} of {len(questions)}"
        if seconds is not None:
            if seconds <= 0:
                click.secho(
                    f"\nTime is over; {len(questions) - number + 1} not reached.", bold=True
                )
                return
            heading += f", {_clock(seconds)} left"
        sat = _sitting(question, log, outside, sitting)
        with desk.leaving("" if seconds is None else "edgesec interview mock --resume"):
            desk.sit(sat, heading, follow_ups)
        if seconds is not None:
            seconds -= sat.seconds  # reading what was right is not on the clock


def _settle(attempts: Iterable[Attempt], log: PracticeLog, bank: dict[str, Question]) -> None:
    """Have those answers scored that were committed when the process ended."""
    from helpers.cli import _interview_desk as desk

    outside = _outside()
    for attempt in attempts:
        if attempt.points is None and attempt.question in bank:
            sat = _sitting(bank[attempt.question], log, outside, attempt.sitting)
            with desk.leaving():
                desk.settle(sat, attempt, "Not scored yet")


def _sitting(question: Question, log: PracticeLog, outside: Outside, name: str) -> Sitting:
    from helpers.interview import prepare
    from helpers.interview.sitting import Sitting

    return Sitting(prepare(question, outside.calculate), log, outside, _now, name)


def _show_mock(log: PracticeLog, sitting: str, bank: dict[str, Question]) -> None:
    attempts = [a for a in log.read().attempts if a.sitting == sitting]
    click.secho("\nThe mock", bold=True)
    for attempt in attempts:
        question = bank[attempt.question]
        took = f"{_clock(attempt.seconds)} of {question.minutes}:00"
        points = "   ?" if attempt.points is None else f"{attempt.points:4.0%}"
        click.echo(f"  {points}  expected {attempt.confidence:4.0%}  {took:>14}  {question.title}")
    scored = [a for a in attempts if a.points is not None]
    if scored:
        _show_calibration(scored)


# --- looking back ---------------------------------------------------------------------------------


@command.command(context_settings=_HELP)
@_log
def coverage(log_path: Path | None) -> None:
    """Show what the bank covers and what of it you have practised, by topic, level and chapter."""
    from helpers.interview import coverage as rows

    bank, attempts = _bank(), _open(log_path).read().attempts
    chapters = sorted({name for question in bank.values() for name in question.chapters})
    for title, table in (
        ("topic", rows.by_topic(bank, attempts)),
        ("level", rows.by_level(bank, attempts)),
        ("chapter", rows.by_chapter(bank, chapters, attempts)),
    ):
        click.secho(f"{title:<28}{'questions':>10}{'answered':>10}{'points':>8}", bold=True)
        _show_rows(table)


def _show_rows(table: Iterable[Row]) -> None:
    for row in table:
        points = "" if row.points is None else f"{row.points:.0%}"
        click.echo(f"{row.name:<28}{row.questions:>10}{row.answered:>10}{points:>8}")


@command.command(context_settings=_HELP)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Draw it: a .png, .svg or .pdf.")  # fmt: skip
@_log
def calibration(plot: Path | None, log_path: Path | None) -> None:
    """Show whether you know what you know: confidence before against points after."""
    attempts = _open(log_path).read().attempts
    _show_calibration(attempts)
    if plot is not None:
        from helpers.interview.figures import calibration_figure

        try:
            calibration_figure(attempts).savefig(plot)
        except (OSError, ValueError) as error:  # another suffix is a ValueError
            raise InterviewError(f"{plot} cannot be written: {error}.") from error
        click.echo(f"wrote {plot}")


def _show_calibration(attempts: Iterable[Attempt]) -> None:
    from helpers.interview.calibration import calibrate

    found = calibrate(attempts)
    word = "overconfident" if found.gap > 0 else "underconfident"
    click.echo(
        f"\n{_answers(found.count)}: expected {found.confidence:.0%}, earned {found.points:.0%}"
        f" ({abs(found.gap):.0%} {word}); mean squared gap {found.squared_gap:.3f}"
    )
    for count, confidence, points in found.bins:
        click.echo(
            f"  when you said {confidence:4.0%} you earned {points:4.0%}  ({_answers(count)})"
        )


def _answers(count: int) -> str:
    return f"{count} answer{'' if count == 1 else 's'}"


@command.command(context_settings=_HELP)
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv",
              show_default=True, help="Form.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write to a file instead of standard output.")  # fmt: skip
@_log
def export(form: str, out: Path | None, log_path: Path | None) -> None:
    """Export every answer of the practice log."""
    from helpers._files import write_atomically
    from helpers.interview.log import to_csv, to_json

    attempts = _open(log_path).read().attempts
    text = to_json(attempts) if form == "json" else to_csv(attempts)
    if out is None:
        click.echo(text, nl=False)
        return
    write_atomically(out, text, InterviewError)
    click.echo(f"wrote {out}: {len(attempts)} answers")


# --- the bank -------------------------------------------------------------------------------------


@command.command("list", context_settings=_HELP)
@_choice_options
def list_questions(
    levels: tuple[str, ...], topics: tuple[str, ...], formats: tuple[str, ...]
) -> None:
    """List the questions of the bank."""
    from helpers.interview.choosing import select

    for question in select(_bank(), levels, topics, formats):
        click.echo(f"{question.id:<38} {question.level:<10} {question.format:<19} {question.title}")


@command.command(context_settings=_HELP)
@click.argument("name", metavar="ID")
@click.option("--answer", is_flag=True, help="With rubric, model answer and follow-ups.")
def show(name: str, answer: bool) -> None:
    """Show one question; its answer only on request."""
    from helpers.cli import _interview_desk as desk
    from helpers.interview import prepare
    from helpers.interview.pages import as_markdown

    question = prepare(_find(_bank(), name), _outside().calculate)
    desk.say(as_markdown(question, with_answer=answer))


@command.command("export-anki", context_settings=_HELP)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.apkg")
@_choice_options
def export_anki(
    out: Path, levels: tuple[str, ...], topics: tuple[str, ...], formats: tuple[str, ...]
) -> None:
    """Write an Anki deck, the same bytes each time; a deck a topic."""
    from helpers._files import write_atomically
    from helpers.interview import prepare
    from helpers.interview.anki import deck_bytes
    from helpers.interview.choosing import select

    outside = _outside()
    chosen = select(_bank(), levels, topics, formats)
    prepared = [prepare(question, outside.calculate) for question in chosen]
    write_atomically(out, deck_bytes(prepared), InterviewError)
    click.echo(f"wrote {out}: {len(chosen)} cards")


@command.command(context_settings=_HELP)
def check() -> None:
    """Check the bank: grammar, links, numbers, threats, solutions, and near-identical questions.

    Runs the solutions of code questions in the sandbox.
    """
    from helpers.course.address import find_root
    from helpers.course.interview import outside
    from helpers.interview import near_duplicates, problems_of_bank

    bank = _bank()
    problems = problems_of_bank(bank.values(), outside(find_root()))
    problems += [
        f"{pair.one} and {pair.other} ask nearly the same "
        f"(cosine {pair.cosine:.2f}, overlap {pair.overlap:.0f})"
        for pair in near_duplicates(bank.values())
    ]
    for problem in problems:
        click.echo(f"  {problem}")
    if problems:
        raise InterviewError(f"{len(problems)} problems in {len(bank)} questions")
    click.echo(f"{len(bank)} questions, nothing wrong with them")


# --- what all of them need ------------------------------------------------------------------------


def _bank() -> dict[str, Question]:
    from helpers.interview import load_bank

    return load_bank()


def _find(bank: dict[str, Question], name: str) -> Question:
    from helpers._text import nearest

    if name not in bank:
        raise InterviewError(f"there is no question {name!r}; {nearest(name, bank)}")
    return bank[name]


def _open(path: Path | None) -> PracticeLog:
    from helpers.interview.log import PracticeLog, default_path

    log = PracticeLog(path or default_path())
    damaged = log.read().damaged
    if damaged:
        lines = ", ".join(map(str, damaged[:5]))
        click.secho(f"{log.path}: passed over damaged lines ({lines})", fg="yellow", err=True)
    return log


def _outside() -> Outside:
    from helpers.course.interview import outside

    return outside()


def _now() -> datetime:
    return datetime.now(UTC)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
