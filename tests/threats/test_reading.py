"""YAML that nobody vouches for: an error with its line, or a model; never anything else."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import threats
from helpers._reading import parse
from helpers._text import acting_character, nearest
from helpers.errors import ThreatModelError
from helpers.threats import loading

SHIPPED = [(loading.MODELS / f"{name}.yaml").read_text("utf-8") for name in threats.shipped()]
FRAGMENTS = [
    "&a", "*a", "!!python/object/apply:os.system [x]", "<<: *a", "{", "}", "[", "]", ": ", "- ",
    "\n", "  ", "#", "'", '"', "|", ">", "---\n", "...\n", "? ", "\t", "\x00", "\ufeff", "\u2028",
    "null", "~", "no", "1e9", "controls: [encryptoin]", "kind: sensro", "%TAG ! x", "é", "\ud7ff",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A shipped model with a few cuts, copies, and insertions."""
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 60)))
        inserted = draw(
            st.one_of(
                st.sampled_from(FRAGMENTS),
                st.text(max_size=8),
                st.just(text[start:end] * 2),
                st.just(""),
            )
        )
        text = text[:start] + inserted + text[end:]
    return text


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_mutated_model_loads_or_is_refused(text: str) -> None:
    try:
        model = threats.loads(text)
    except ThreatModelError:
        return
    # What loads can be analysed, or says which acceptance dangles.
    assert threats.analyse(model).threats


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=300), st.text("{}[]:-,&*!|>'\"#?%@`\n ab", max_size=300)))
def test_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(ThreatModelError):
        threats.loads(text)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_in_a_file_are_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "model.yaml"
    path.write_bytes(content)
    with pytest.raises(ThreatModelError):
        threats.load(path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "line 1: anchors (&) and aliases (*) are not accepted"),
        ("name: x\nzones: *other", "line 2: anchors"),
        ("name: !!python/object/apply:os.system [echo]", "line 1: tags (!) are not accepted"),
        ("name: !!str x", "line 1: tags"),
        ("a: " + "[" * 5000, "nested more than 12 deep"),
        ("\n".join(f"k{i}:" for i in range(30_000)), "more than 20,000 values"),
        ("name: x\nname: y", "line 2: 'name' stands here twice"),
        ("? [a]\n: b", "a key must be plain text"),
        ("name: x\n---\nname: y", "a second document"),
        ("name: 'x", "line 1: not YAML"),
        ("name: x\ntitle: a\x07b", "line 2: not YAML"),
        ("x" * (256 * 1024 + 1), "larger than 256 KiB"),
        ("- a\n- b", "must be a list of `field: value` lines"),
        ("", "the model lacks `name:`"),
    ],
    ids=lambda value: value[:24].replace("\n", " "),
)
def test_what_could_expand_or_run_is_refused_at_once(text: str, says: str) -> None:
    start = time.process_time()
    with pytest.raises(ThreatModelError) as refused:
        threats.loads(text)
    assert says in str(refused.value)
    assert time.process_time() - start < 5  # CPU seconds; the largest takes about one


def test_scalars_stay_what_was_written() -> None:
    node = parse("a: no\nb: 0x10\nc: 2026-01-01\nd: ~", "text", ThreatModelError)
    assert isinstance(node.value, dict)
    assert [item.value for item in node.value.values()] == ["no", "0x10", "2026-01-01", "~"]
    assert [item.line for item in node.value.values()] == [1, 2, 3, 4]


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"x" * (300 * 1024))
    with pytest.raises(ThreatModelError, match="larger than 256 KiB"):
        threats.load(path)
    path.write_bytes(b"name: \xff")
    with pytest.raises(ThreatModelError, match="not UTF-8"):
        threats.load(path)
    with pytest.raises(ThreatModelError, match="No such file"):
        threats.load(tmp_path / "none.yaml")


def test_a_wrong_name_brings_the_nearest() -> None:
    with pytest.raises(ThreatModelError, match="did you mean 'smart-speaker'"):
        threats.load("smart-speakr")


@pytest.mark.parametrize(
    ("written", "named"),
    [(r"\e[2J", "U+001B"), (r"\0", "U+0000"), (r"a\x9Bb", "U+009B"), (r"\u202Eb", "U+202E"),
     (r"\uFFFE", "U+FFFE")],
)  # fmt: skip
@pytest.mark.parametrize("key", ["title", "description"])
def test_a_character_that_acts_is_refused_with_its_line(key: str, written: str, named: str) -> None:
    with pytest.raises(ThreatModelError, match=rf"line 2: {key} of .* holds {re.escape(named)}"):
        threats.loads(f'name: small\n{key}: "{written}"\n')


def test_scripts_that_need_joiners_or_run_leftwards_are_welcome() -> None:
    for text in ("می\u200cخواهم", "עברית", "naïve", "🏥"):
        assert acting_character(text) == ""


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".yaml", "a\0", "a\0.yaml", ""])
def test_a_name_that_no_file_can_have_is_an_error(name: str) -> None:
    with pytest.raises(ThreatModelError):
        threats.load(name)


def test_many_known_words_are_not_all_told() -> None:
    said = nearest("?", [f"word{index}" for index in range(300)])
    assert said.endswith("and 260 more")


def test_an_acceptance_of_no_threat_is_refused_with_its_line() -> None:
    text = """name: small
zones:
  home: {trust: customer}
elements:
  app: {kind: service, zone: home}
acceptances:
  - threat: process-tamperd@app
    level: high
    by: A. Person
    reason: none
    on: 2026-01-01
    until: 2026-12-31
"""
    with pytest.raises(ThreatModelError, match=r"line 7: .*did you mean 'process-tampered@app'"):
        threats.analyse(threats.loads(text))
