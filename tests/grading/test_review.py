"""Written answers: marks that are saved at once, a page for them, and the same as CSV."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.course.grading.lab import GradedLab
from helpers.course.grading.marks import Answer, Marks, export, marked, queue, restore
from helpers.course.grading.records import Record
from helpers.course.grading.review import ReviewServer
from helpers.errors import CourseError


def record(ident: str, text: str) -> Record:
    return Record("k", ident, f"Name of {ident}", "", "", "f", "graded", memos={"memo": text})


@pytest.fixture
def answers(lab: GradedLab) -> list[Answer]:
    texts = {"a": "=1+1, I decide", "b": "<script>alert(1)</script>", "c": "short"}
    return queue(lab.spec, [record(i, text) for i, text in texts.items()], anonymous=False)


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "marks.sqlite3")


def test_anonymous_answers_have_no_name_and_another_order(lab: GradedLab) -> None:
    records = [record(f"learner-{n}", "text") for n in range(20)]
    named, nameless = (queue(lab.spec, records, anonymous=hide) for hide in (False, True))
    assert {a.learner for a in nameless} == {""}
    assert {a.ident for a in nameless} == {a.ident for a in named}
    assert [a.ident for a in nameless] != [a.ident for a in named]
    assert queue(lab.spec, [Record("k", "x", "x", "", "", "f", "graded")], False) == []


def test_each_mark_is_on_the_disk_at_once_and_can_be_taken_back(
    answers: list[Answer], marks: Marks, tmp_path: Path
) -> None:
    marks.save(answers[0], 1, 2)
    marks.comment(answers[0], "clear")
    again = Marks(tmp_path / "marks.sqlite3")
    assert again.of(answers[0]) == ([None, 2], "clear")
    assert again.of(answers[1]) == ([None, None], "")
    again.save(answers[0], 1, 0)
    again.save(answers[0], 0, 1)
    assert marks.of(answers[0])[0] == [1, 0]
    marks.save(answers[0], 0, None)
    assert marks.of(answers[0])[0] == [None, 0]


@pytest.mark.parametrize(("line", "points"), [(2, 1), (-1, 1), (0, 3), (0, -1), (0, 1.5), (0, "2")])
def test_a_mark_that_the_rubric_does_not_know_is_refused(
    answers: list[Answer], marks: Marks, line: int, points: Any
) -> None:
    with pytest.raises(CourseError):
        marks.save(answers[0], line, points)


def test_the_queue_goes_to_a_spreadsheet_and_comes_back(
    answers: list[Answer], marks: Marks, tmp_path: Path
) -> None:
    path = tmp_path / "memos.csv"
    marks.save(answers[0], 0, 2)
    export(path, answers, marks)
    text = path.read_text()
    assert text.startswith("ident,learner,memo,answer,line 1,line 2,comment,points,of\n")
    assert '"\'=1+1, I decide",2,,,2,4\n' in text
    path.write_text(text.replace("short,,,,0,4", "short,1,2,good,,"))
    assert restore(path, answers, marks) == 3
    assert marks.of(answers[2]) == ([1, 2], "good")
    assert marks.of(answers[0])[0] == [2, None]
    path.write_text(path.read_text().replace("short,1,2", "short,1,9"))
    with pytest.raises(CourseError, match="row 4: line 2 is '9'; give 0 to 2"):
        restore(path, answers, marks)
    path.write_text("ident,memo\nnobody,memo\n")
    with pytest.raises(CourseError, match="row 2: there is no such answer"):
        restore(path, answers, marks)


def test_a_table_with_one_readers_column_leaves_the_others_marks_alone(
    answers: list[Answer], marks: Marks, tmp_path: Path
) -> None:
    path = tmp_path / "second-reader.csv"
    marks.save(answers[0], 0, 2)
    marks.comment(answers[0], "from the first reader")
    one = answers[0]
    path.write_text(f"ident,memo,line 2\n{one.ident},{one.memo},1\n")
    assert restore(path, answers, marks) == 1
    assert marks.of(one) == ([2, 1], "from the first reader")
    path.write_text(f"ident,memo,line 2,comment\n{one.ident},{one.memo},,\n")
    assert restore(path, answers, marks) == 0  # an empty cell takes a mark back
    assert marks.of(one) == ([2, None], "")


def test_a_memo_that_nobody_has_read_is_pending_and_one_that_is_not_there_is_nothing(
    lab: GradedLab, tmp_path: Path
) -> None:
    records = [record("a", "text"), Record("k", "b", "b", "", "", "f", "graded")]
    found = marked(tmp_path, lab.spec, records)
    assert (found["a"][0].points, found["b"][0].points) == (None, 0)
    assert not (tmp_path / "marks.sqlite3").exists()
    (answer,), marks = queue(lab.spec, records, False), Marks(tmp_path / "marks.sqlite3")
    marks.save(answer, 0, 0)
    assert marked(tmp_path, lab.spec, records)["a"][0].points is None  # one line is open
    marks.save(answer, 1, 0)
    (memo,) = marked(tmp_path, lab.spec, records)["a"]
    assert (memo.points, memo.most) == (0, 4)


def test_marks_belong_to_the_text_that_was_read(lab: GradedLab, tmp_path: Path) -> None:
    marks, table = Marks(tmp_path / "marks.sqlite3"), tmp_path / "memos.csv"
    (first,) = queue(lab.spec, [record("a", "my first thought")], False)
    (second,) = queue(lab.spec, [record("a", "my second thought")], False)
    marks.save(first, 0, 2)
    export(table, [first], marks)
    assert marks.of(second) == ([None, None], "")
    with pytest.raises(CourseError, match="row 2: this is not the answer that was handed in last"):
        restore(table, [second], marks)
    assert marks.of(first)[0] == [2, None]


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite3"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(CourseError, match="is no file of marks"):
        Marks(path)


@pytest.fixture
def server(answers: list[Answer], marks: Marks) -> Iterator[ReviewServer]:
    with ReviewServer(answers, marks) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()


def ask(
    server: ReviewServer, path: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Token": server.token if token is None else token, **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_page_shows_an_answer_and_saves_a_mark(
    server: ReviewServer, answers: list[Answer], marks: Marks
) -> None:
    with urllib.request.urlopen(server.address, timeout=10) as reply:
        page = reply.read().decode()
        policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'nonce-" in policy
    assert policy.split("nonce-")[1].split("'")[0] in page
    code, text = ask(server, "/answer?number=1")
    shown = json.loads(text)
    assert (code, shown["text"]) == (200, "<script>alert(1)</script>")
    assert (shown["count"], shown["complete"], shown["most"]) == (3, 0, 2)
    assert shown["rubric"] == ["names a number", "says when it would change"]
    for line in (0, 1):
        code, text = ask(server, "/mark", {"number": 1, "line": line, "points": 2})
        assert code == 200
    assert json.loads(text) == {"complete": 1}
    assert ask(server, "/comment", {"number": 1, "text": "well"})[0] == 200
    assert marks.of(answers[1]) == ([2, 2], "well")
    assert json.loads(ask(server, "/answer?number=0")[1])["open"] == 2


def test_marks_come_back_from_what_a_spreadsheet_saves(
    answers: list[Answer], marks: Marks, tmp_path: Path
) -> None:
    path = tmp_path / "memos.csv"
    export(path, answers, marks)
    text = path.read_text().replace("I decide,,", "I decide,2,")
    path.write_bytes(text.encode("utf-8-sig").replace(b"\n", b"\r\n"))
    restore(path, answers, marks)
    path.write_bytes((text + "é").encode("latin-1"))
    with pytest.raises(CourseError, match="is no CSV file in UTF-8"):
        restore(path, answers, marks)


def test_without_the_token_or_under_another_name_there_is_nothing(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for path in ("/", "/answer?number=0", "/?token=guess"):
        assert ask(server, path, token="")[0] == 403
    assert ask(server, "/mark", {"number": 0, "line": 0, "points": 2}, token="guess")[0] == 403
    assert ask(server, "/answer?number=0", Host="evil.example:80")[0] == 403
    assert ask(server, "/answer?number=0")[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/mark", {"number": 3, "line": 0, "points": 1}),
        ("/mark", {"number": -1, "line": 0, "points": 1}),
        ("/mark", {"number": 0, "line": 9, "points": 1}),
        ("/mark", {"number": 0, "line": 0, "points": 7}),
        ("/mark", {"number": "x", "line": 0, "points": 1}),
        ("/mark", []),
        ("/mark", {}),
        ("/comment", {"number": 0, "text": "x" * 200_000}),
        ("/other", {"number": 0}),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(
    server: ReviewServer, answers: list[Answer], marks: Marks, path: str, body: Any
) -> None:
    assert ask(server, path, body)[0] == 400
    assert [marks.of(answer) for answer in answers] == [([None, None], "")] * 3


def test_no_answers_no_page(marks: Marks) -> None:
    with pytest.raises(CourseError, match="no submission of this run holds a written answer"):
        ReviewServer([], marks)
