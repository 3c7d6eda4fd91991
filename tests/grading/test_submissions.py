"""Files are found and told apart by name, whatever platform exported them."""

from __future__ import annotations

import contextlib
import io
import time
import zipfile
from pathlib import Path

import pytest

from helpers.course.grading.submissions import MAX_NOTEBOOK, Submission, collect
from helpers.errors import CourseError


def put(folder: Path, *names: str, data: bytes = b"{}") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return stream.getvalue()


def seen(found: list[Submission]) -> list[tuple[str, str, str]]:
    return [(item.learner, item.user, item.platform) for item in found]


def test_canvas_moodle_and_plain_names(tmp_path: Path) -> None:
    put(
        tmp_path,
        "doejane_12345_67890_03-lab.ipynb",
        "roerichard_LATE_12346_67891_03-lab-2.ipynb",
        "Ann Lee_123456_assignsubmission_file_/lab.ipynb",
        "Bo Li_123457_assignsubmission_file_lab.ipynb",
        "carol.ipynb",
        "dave/labs/03-lab.ipynb",
    )
    found = collect(tmp_path)
    assert seen(found) == [
        ("Ann Lee", "123456", "Moodle"),
        ("Bo Li", "123457", "Moodle"),
        ("carol", "", ""),
        ("dave", "", ""),
        ("doejane", "12345", "Canvas"),
        ("roerichard", "12346", "Canvas"),
    ]
    assert [item.learner for item in found if item.late] == ["roerichard"]
    assert len({item.ident for item in found}) == 6


def test_whose_file_it_is_does_not_follow_what_a_learner_calls_it(tmp_path: Path) -> None:
    alike = "x_777_assignsubmission_file_.ipynb"
    put(
        tmp_path,
        f"malloryeve_LATE_12345_67890_{alike}",
        f"Eve M_5_assignsubmission_file_{alike}",
        "trent/alice_1_2_x.ipynb",
        f"victor/{alike}",
        f"victoria/{alike}/lab.ipynb",
        "walter/lab.ipynb",
    )
    found = collect(tmp_path)
    assert seen(found) == [
        ("Eve M", "5", "Moodle"),
        ("malloryeve", "12345", "Canvas"),
        ("trent", "", ""),
        ("victor", "", ""),
        ("victoria", "", ""),
        ("walter", "", ""),
    ]
    assert [item.learner for item in found if item.late] == ["malloryeve"]


@pytest.mark.parametrize(
    ("names", "learners"),
    [
        (("week 3/doe_1_2_x.ipynb", "week 3/roe_2_3_x.ipynb"), ["doe", "roe"]),
        (("A/doe_1_2_x.ipynb", "B/roe_2_3_x.ipynb", "B/foe_4_5_x.ipynb"), ["doe", "foe", "roe"]),
        (("A/doe_1_2_x.ipynb", "grades.csv", "B/roe_2_3_x.ipynb"), ["doe", "grades", "roe"]),
        (
            ("3/Ann_1_assignsubmission_file_x.ipynb", "3/Bo Li_2_assignsubmission_file_x.ipynb"),
            ["Ann", "Bo Li"],
        ),
        (
            ("3/Ann_1_assignsubmission_file_/x.ipynb", "3/Bo_2_assignsubmission_file_/x.ipynb"),
            ["Ann", "Bo"],
        ),
    ],
)  # fmt: skip
def test_what_a_platform_exported_may_lie_in_folders(
    tmp_path: Path, names: tuple[str, ...], learners: list[str]
) -> None:
    put(tmp_path, *names)
    assert [found.learner for found in collect(tmp_path)] == learners


def test_of_several_files_the_last_attempt_at_the_right_lab_is_taken(tmp_path: Path) -> None:
    put(
        tmp_path,
        "doe_1_10_03-lab.ipynb",
        "doe_1_11_03-lab-1.ipynb",
        "doe_1_12_03-lab-10.ipynb",
        "doe_1_13_holiday.ipynb",
        "doe_1_14_notes.pdf",
    )
    (found,) = collect(tmp_path, ("03-lab",))
    assert found.source == "doe_1_12_03-lab-10.ipynb"
    assert len(found.others) == 4


def test_learners_whose_names_look_alike_as_file_names_are_kept_apart(tmp_path: Path) -> None:
    put(tmp_path, "José_1_1_a.ipynb", "Jos-_2_2_a.ipynb", "日本_3_3_a.ipynb", "中国_4_4_a.ipynb")
    idents = [item.ident for item in collect(tmp_path)]
    assert len(set(idents)) == 4
    assert all(ident.isascii() and "/" not in ident for ident in idents)


def test_what_is_no_submission_is_passed_over_and_nobody_is_lost(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a/x.ipynb",
        "a/.ipynb_checkpoints/x-checkpoint.ipynb",
        "__MACOSX/a/._x.ipynb",
        ".DS_Store",
        "b/report.pdf",
    )
    found = collect(tmp_path)
    assert [item.source for item in found] == ["a/x.ipynb", "b/report.pdf"]
    with pytest.raises(CourseError, match=r"a notebook \(\.ipynb\) was expected, not \.pdf"):
        found[1].read()


def test_a_zip_is_a_folder_and_the_folder_it_begins_with_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    path.write_bytes(archive({"export/ann.ipynb": b"1", "export/bob.ipynb": b"2"}))
    found = collect(path)
    assert [(item.learner, item.read()) for item in found] == [("ann", b"1"), ("bob", b"2")]


def test_a_zip_in_a_zip_is_one_learners_notebook(tmp_path: Path) -> None:
    inner = archive({"my lab/lab.ipynb": b"mine", "my lab/data/deep.ipynb": b"not this"})
    path = tmp_path / "all.zip"
    path.write_bytes(archive({"doe_1_2_lab.zip": inner, "roe_2_3_lab.ipynb": b"roe"}))
    assert [item.read() for item in collect(path)] == [b"mine", b"roe"]


def test_a_path_out_of_the_archive_leads_nowhere(tmp_path: Path) -> None:
    put(tmp_path, "eve.zip", data=archive({"../../../evil.ipynb": b"x", "/etc/evil.ipynb": b"y"}))
    before = sorted(tmp_path.rglob("*"))
    assert collect(tmp_path)[0].read() in (b"x", b"y")
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent.parent / "evil.ipynb").exists()


def test_a_zip_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    bomb = archive({"bomb.ipynb": bytes(MAX_NOTEBOOK + 2**20)})
    assert len(bomb) < 100_000
    put(tmp_path, "eve.zip", data=bomb)
    put(tmp_path, "deep.zip", data=archive({"a.zip": archive({"b.ipynb": b"{}"})}))
    deep, eve = collect(tmp_path)
    with pytest.raises(CourseError, match="more than 25 MB"):
        eve.read()
    with pytest.raises(CourseError, match="no notebook in this archive"):
        deep.read()


def test_a_name_that_takes_minutes_to_look_at_is_passed_over(tmp_path: Path) -> None:
    long = {"/" * (60_000 - n) + ".ipynb": b"{}" for n in range(5)}
    put(tmp_path, "doe.zip", data=archive({**long, "deep/in/lab.ipynb": b"[]"}))
    started = time.process_time()
    assert collect(tmp_path)[0].read() == b"[]"
    assert time.process_time() - started < 2.0  # it took ten seconds


def test_an_archive_of_200_mb_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "eve.zip").open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(CourseError, match="the archive has more than 30 MB"):
        collect(tmp_path)[0].read()


def test_a_damaged_or_encrypted_archive_is_refused(tmp_path: Path) -> None:
    whole = archive({"lab.ipynb": b"text" * 1000})
    put(tmp_path, "cut.zip", data=whole[: len(whole) // 2])
    put(tmp_path, "flipped.zip", data=whole.replace(whole[40:44], b"\xff\xff\xff\xff"))
    for item in collect(tmp_path):
        with pytest.raises(CourseError):
            item.read()


def test_whatever_a_decompressor_raises_costs_only_that_submission(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("lab.ipynb", b"text" * 1000)
    whole = stream.getvalue()
    put(tmp_path, "eve.zip", data=whole)
    (found,) = collect(tmp_path)
    assert found.read() == b"text" * 1000
    for place in range(30, 70):
        found.place.path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        with contextlib.suppress(CourseError):
            found.read()
    found.place.path.unlink()
    with pytest.raises(CourseError):
        found.read()


def test_a_notebook_of_200_mb_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "big.ipynb").open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(CourseError, match="more than 25 MB; clear its outputs"):
        collect(tmp_path)[0].read()


def test_a_link_to_someone_elses_file_is_no_submission(tmp_path: Path) -> None:
    put(tmp_path, "ann/lab.ipynb")
    (tmp_path / "bob.ipynb").symlink_to(tmp_path / "ann" / "lab.ipynb")
    assert [item.learner for item in collect(tmp_path)] == ["ann"]


def test_nothing_to_grade_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="there are no notebooks in"):
        collect(tmp_path)
    put(tmp_path, "x.txt")
    with pytest.raises(CourseError, match="neither a folder nor a zip archive"):
        collect(tmp_path / "x.txt")
