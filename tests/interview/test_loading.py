"""A question is read strictly: what is wrong is named with its line and the nearest word."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers._reading import parse
from helpers.errors import InterviewError
from helpers.interview import load_bank, load_question
from helpers.interview.loading import BANK

Write = Callable[..., Path]


def test_a_question_keeps_its_lines_and_its_numbers(write: Write) -> None:
    question = load_question(write("epsilon-of-a-run"))
    assert question.id == "epsilon-of-a-run"
    assert question.numeric is not None
    assert question.numeric.compute.arguments["steps"] == 3515
    assert question.numeric.compute.arguments["delta"] == 1e-5
    assert "\n" in load_question(write("lens-flare")).answer


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("lens-flare", "level: senior", "level: seniour", "did you mean 'senior'"),
        ("lens-flare", "format: debug", "format: bug", "did you mean 'debug'"),
        ("lens-flare", "topic: robustness", "topic: watermarking", "lies in the folder"),
        ("lens-flare", "mistake:", "mistakes:", "lacks `mistake:`"),
        ("lens-flare", "mistake:", "mistakes:", "no 'mistakes'; did you mean 'mistake'"),
        ("lens-flare", "minutes: 15", "minutes: soon", "use 1 to 60"),
        ("lens-flare", "weight: 3", "weight: 9", "use 1 to 5"),
        ("lens-flare", "weight: 3", "wait: 3", "did you mean 'weight'"),
        ("lens-flare", "title: A", "title: &a A", "anchors"),
        ("epsilon-of-a-run", "numeric:", "number:", "needs `numeric:`"),
        ("epsilon-of-a-run", "tolerance: 0.08", "tolerance: wide", "use 0 to 0.5"),
        ("noise-on-a-count", "{function: laplace_margin, ar", "{ar", "lacks `function:`"),
        ("what-server-tls-leaves-open", "right: yes", "right: perhaps", "use yes or no"),
        ("write-a-trimmed-mean", "- [[2.5], 0]", "- 3", "each a list of arguments"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(write: Write, name: str, old: str, new: str, said: str) -> None:
    path = write(name, old, new)
    with pytest.raises(InterviewError) as refused:
        load_question(path)
    assert said in str(refused.value)
    assert f"{path.parent.name}/{path.name}" in str(refused.value)
    assert "line " in str(refused.value)


def test_a_bank_names_every_file_that_is_wrong(write: Write) -> None:
    folder = write("lens-flare", "level: senior", "level: none").parents[1]
    write("noise-on-a-count", "level: junior", "level: none")
    with pytest.raises(InterviewError) as refused:
        load_bank(folder)
    assert "lens-flare.yaml" in str(refused.value)
    assert "noise-on-a-count.yaml" in str(refused.value)


def test_an_id_is_used_once(write: Write) -> None:
    path = write("lens-flare")
    twin = path.parents[1] / "certification" / path.name
    twin.parent.mkdir()
    twin.write_text(path.read_text().replace("topic: robustness", "topic: certification"))
    with pytest.raises(InterviewError, match="stands under certification too"):
        load_bank(path.parents[1])


def test_the_parser_in_c_reads_the_bank_as_the_one_in_python_does() -> None:
    for path in BANK.glob("*/*.yaml"):
        text = path.read_text("utf-8")
        quick = parse(text, path.name, InterviewError, ours=True)
        assert quick == parse(text, path.name, InterviewError)


def test_an_empty_bank_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(InterviewError, match=r"<topic>/<id>\.yaml"):
        load_bank(tmp_path)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 6000), text=st.text(max_size=8), name=st.sampled_from(
    ["lens-flare", "epsilon-of-a-run", "the-speakers-flash", "write-a-trimmed-mean"]))  # fmt: skip
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, text: str, name: str
) -> None:
    (source,) = BANK.glob(f"*/{name}.yaml")
    whole = source.read_text(encoding="utf-8")
    place %= len(whole)
    path = tmp_path_factory.mktemp("bank") / source.parent.name / source.name
    path.parent.mkdir()
    damaged = (whole[:place] + text + whole[place + 3 :]).encode("utf-8", "surrogatepass")
    path.write_bytes(damaged)
    with contextlib.suppress(InterviewError):
        assert load_question(path).id == name
