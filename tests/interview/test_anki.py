"""The Anki deck is whole, and the same bytes each time."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from helpers.interview import Question
from helpers.interview.anki import deck_bytes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def deck(prepared: dict[str, Question]) -> bytes:
    return deck_bytes(list(prepared.values()))


def test_every_question_is_a_note_with_both_sides(
    deck: bytes, prepared: dict[str, Question], tmp_path: Path
) -> None:
    with zipfile.ZipFile(BytesIO(deck)) as archive:
        archive.extract("collection.anki2", tmp_path)
    notes = sqlite3.connect(tmp_path / "collection.anki2").execute("select flds, guid from notes")
    rows = [(fields.split("\x1f"), guid) for fields, guid in notes]
    assert {fields[0] for fields, _ in rows} == set(prepared)
    assert len({guid for _, guid in rows}) == len(rows)
    for (name, kind, front, back), _ in rows:
        assert prepared[name].level in kind
        assert prepared[name].title in front
        assert "Model answer" in back
        assert "Model answer" not in front
        assert "{{" not in front + back


def test_a_second_build_gives_the_same_bytes(deck: bytes, tmp_path: Path) -> None:
    path = tmp_path / "deck.apkg"
    command = [sys.executable, "-m", "helpers", "interview", "export-anki", str(path)]
    # Another process, another hash seed, another second, another time zone.
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(deck).digest()
