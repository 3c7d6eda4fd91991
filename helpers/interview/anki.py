"""The bank as an Anki deck, the same bytes each time it is written from the same bank."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.interview.pages import answered, asked, rubric
from helpers.interview.question import Question
from helpers.interview.vocabulary import TOPICS

# Drawn once. Anki takes decks, models and notes with the same ids for the same things, so a newer
# deck updates an older one and keeps its schedule.
_MODEL_ID = 1_704_883_113
_DECK_ID = 2_038_114_520  # and one more for each topic
_MOMENT = 1_735_689_600.0  # 2025-01-01: Anki wants a time, and it must not be that of the build
_ZIP_DATE = (2025, 1, 1, 0, 0, 0)
_STYLE = """
.card { font-family: sans-serif; font-size: 18px; text-align: left; max-width: 42em;
        margin: 0 auto; line-height: 1.45; }
.kind { color: #5a6270; font-size: 14px; }
.nightMode .kind { color: #b8c0cc; }
pre { overflow-x: auto; }
"""


def deck_bytes(questions: Sequence[Question]) -> bytes:
    """Return an ``.apkg`` file.

    Parameters
    ----------
    questions
        Prepared: their numbers are computed.

    Returns
    -------
    bytes
        A deck a topic below one deck; the front asks, the back has rubric, answer and mistake.
    """
    import genanki

    model = genanki.Model(
        _MODEL_ID,
        "Edge ML security: interview question",
        fields=[{"name": name} for name in ("Id", "Kind", "Front", "Back")],
        templates=[
            {
                "name": "Question",
                "qfmt": '<div class="kind">{{Kind}}</div>{{Front}}',
                "afmt": "{{FrontSide}}<hr id=answer>{{Back}}",
            }
        ],
        css=_STYLE,
    )
    decks = {
        topic: genanki.Deck(_DECK_ID + number, f"Edge ML security interview::{title}")
        for number, (topic, title) in enumerate(TOPICS.items(), 1)
    }
    for question in questions:
        decks[question.topic].add_note(
            genanki.Note(
                model=model,
                fields=[question.id, _kind(question), _front(question), _back(question)],
                guid=hashlib.sha256(f"edgesec:{question.id}".encode()).hexdigest()[:20],
                tags=[question.topic, question.level, question.format],
            )
        )
    used = [deck for deck in decks.values() if deck.notes]
    return _zipped_anew(genanki.Package(used))


def _kind(question: Question) -> str:
    return (
        f"{question.level} · {TOPICS[question.topic]} · {question.format} · {question.minutes} min"
    )


def _front(question: Question) -> str:
    return _html(f"**{question.title}**\n\n{asked(question)}")


def _back(question: Question) -> str:
    follow_ups = "\n".join(f"- {follow_up.question}" for follow_up in question.follow_ups)
    return _html(
        f"**Rubric**\n\n{rubric(question)}\n\n**Model answer**\n\n{answered(question)}\n\n"
        f"**The mistake**\n\n{question.mistake}\n\n**Then they ask**\n\n{follow_ups}"
    )


def _html(markdown: str) -> str:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def maths(text: str, options: dict[str, Any]) -> str:
        return f"\\[{text}\\]" if options["display_mode"] else f"\\({text}\\)"

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    renderer.use(dollarmath_plugin, renderer=maths)
    text: str = renderer.render(markdown)
    return text


def _zipped_anew(package: Any) -> bytes:
    """Write a package, and its archive once more without the times that genanki stamps it with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deck.apkg"
        package.write_to_file(path, timestamp=_MOMENT)
        out = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for name in sorted(old.namelist()):
                entry = zipfile.ZipInfo(name, _ZIP_DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                new.writestr(entry, old.read(name))
    return out.getvalue()
