"""``edgesec threats`` as a person or a CI job calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from helpers import threats
from helpers.cli.threats import command
from helpers.threats import loading

RECORD = Path(str(files("helpers.course") / "measured"))
LAB_6 = f"{RECORD / 'what-the-small-model-remembers.json'}#patients-named-int8@hospital-node"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_list_names_models_and_rules() -> None:
    shown = call("list").output
    for name in (*threats.shipped(), *(rule.id for rule in threats.all_rules())):
        assert name in shown


def test_the_gate_fails_with_the_threats_that_block_it_and_passes_above_them() -> None:
    failed = call("check", "smart-speaker", "--at", "high")
    assert failed.exit_code != 0
    assert "flash-read-out@flash" in failed.output
    passed = call("check", "smart-speaker", "--at", "critical")
    assert passed.exit_code == 0
    assert "no threat at critical or above" in passed.output


def test_the_gate_as_a_process_says_one_line_and_exits_1() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "threats", "check", "smart-speaker"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("edgesec: ")
    assert "Traceback" not in done.stderr


def test_acceptances_open_the_gate_on_their_days_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (loading.MODELS / "smart-speaker.yaml").read_text("utf-8") + "acceptances:\n"
    for threat in threats.analyse(threats.load("smart-speaker")).threats:
        if threat.level in ("high", "critical"):
            text += (
                f"  - {{threat: {threat.id}, level: critical, by: A. Person, reason: pilot, "
                "on: 2026-06-01, until: 2026-09-01}\n"
            )
    path.write_text(text)
    assert call("check", path, "--today", "2026-07-01").exit_code == 0
    assert call("check", path, "--today", "2026-09-02").exit_code != 0


def test_one_of_a_labs_measurements_changes_the_risk() -> None:
    guessed = call("check", "hospital-consortium", "--at", "low").output
    measured = call("check", "hospital-consortium", "--at", "low", "--measured", LAB_6).output
    line = {
        text: next(row for row in text.splitlines() if "membership-inference@hospital-node" in row)
        for text in (guessed, measured)
    }
    assert line[guessed] != line[measured]


def test_the_name_of_a_file_may_hold_the_signs_that_follow_it(tmp_path: Path) -> None:
    odd = tmp_path / "mine#2@home.json"
    odd.write_bytes((RECORD / "what-the-small-model-remembers.json").read_bytes())
    named = f"{odd}#patients-named-int8@hospital-node"
    shown = call("check", "hospital-consortium", "--at", "low", "--measured", named)
    assert "membership-inference@hospital-node" in shown.output
    refused = call("check", "hospital-consortium", "--measured", f"{odd}@hospital-node")
    assert "Say which describes this system, as FILE#NAME" in str(refused.exception)


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".md", "# Threat model"), (".html", "<!doctype html>"), (".json", "{")]
)
def test_the_suffix_decides_the_form_of_the_report(
    tmp_path: Path, suffix: str, begins: str
) -> None:
    out = tmp_path / f"report{suffix}"
    assert call("report", "drone", "--out", out, "--today", "2026-06-01").exit_code == 0
    assert out.read_text("utf-8").startswith(begins)
    if suffix == ".json":
        assert json.loads(out.read_text())["otmVersion"] == "0.2.0"


def test_graphs_are_svg_in_a_file_and_mermaid_on_the_screen(tmp_path: Path) -> None:
    assert call("graph", "drone").output.startswith("flowchart")
    out = tmp_path / "drone.svg"
    assert call("graph", "drone", "--out", out).exit_code == 0
    assert out.read_text("utf-8").startswith("<svg")
    refused = call("graph", "drone", "--out", tmp_path / "drone.png")
    assert "must end in .svg or .mmd" in str(refused.exception)


def test_diff_and_compare_read_two_models(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (loading.MODELS / "drone.yaml").read_text("utf-8")
    path.write_text(text.replace("protocol: radio}", "protocol: ble-bonded}", 1))
    assert "protocol radio → ble-bonded" in call("diff", "drone", path).output
    compared = call("compare", path, "drone", "--pairs").output
    assert "camera = camera" in compared
    assert "elements: 13 of 13" in compared


@pytest.mark.parametrize("word", ["gradient-inversion", "secure-boot", "accuracy-loss",
                                  "ML05:2023", "taught-by", "ble-bonded", "AML.T0020"])  # fmt: skip
def test_explain_knows_the_words_of_the_room(word: str) -> None:
    assert call("explain", word).exit_code == 0


@pytest.mark.parametrize("field", ["protocol", "controls", "kind", "roles", "trust", "personal"])
def test_explain_lists_the_words_of_a_field_with_their_meanings(field: str) -> None:
    listed = call("explain", field).output.split("\n\n")[0].splitlines()[1:]
    assert len(listed) >= 5
    for line in listed:
        word, meaning = line.strip().split(": ", 1)
        assert meaning in call("explain", word).output


def test_explain_says_what_the_word_might_have_been() -> None:
    assert "did you mean 'sponge'" in str(call("explain", "spong").exception)


def test_every_subcommand_has_help() -> None:
    assert isinstance(command, click.Group)
    for name, subcommand in command.commands.items():
        assert subcommand.help, name
        assert call(name, "--help").exit_code == 0
