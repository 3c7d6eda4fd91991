from __future__ import annotations

import copy
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.edge.artefact import Artefact
from helpers.errors import RobustnessError
from helpers.robustness.certification import verifier
from helpers.robustness.certification.certificate import (
    as_content,
    read_certificate,
    write_certificate,
)
from helpers.robustness.certification.outcome import Certification
from helpers.robustness.certification.radius import certified_radius
from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify
from helpers.robustness.certification.spot_check import spot_check
from tests.robustness.conftest import Examples

WEIGHTS = np.random.default_rng(5).normal(size=(12, 3)).astype(np.float32)
IMAGES = np.random.default_rng(1).uniform(0, 1, (12, 12)).astype(np.float32)
MODEL = b"the model file"
CLASSIFIER = Classifier(
    lambda rows: rows @ WEIGHTS,
    sha256=hashlib.sha256(MODEL).hexdigest(),
)


def certification(guarantee: str = "all") -> Certification:
    how = Smoothing(0.5, 1000, 50, guarantee=guarantee)  # type: ignore[arg-type]
    return certify(CLASSIFIER, IMAGES, how)


FOUND = certification()
TRUTH = np.argmax(IMAGES @ WEIGHTS, axis=1)
CONTENT = as_content(FOUND, artefact="model.tflite", dataset="points", truth=TRUTH)


def sealed(content: dict[str, Any]) -> bytes:
    """As somebody would write it who knows how the digest is made."""
    return verifier.canonical({**content, "digest": verifier.digest(content)})


def answered() -> int:
    return int(np.flatnonzero(FOUND.labels >= 0)[0])


@settings(max_examples=200)
@given(
    trials=st.integers(1, 200_000),
    share=st.floats(0.4, 1),
    alpha=st.floats(1e-8, 0.2),
    sigma=st.floats(0.05, 2),
)
def test_two_programs_that_share_no_line_agree_on_the_radius(
    trials: int, share: float, alpha: float, sigma: float
) -> None:
    count = round(share * trials)
    ours = certified_radius(sigma, count, trials, alpha)
    assert verifier.radius(sigma, count, trials, alpha) == pytest.approx(ours, abs=1e-9)


@pytest.mark.parametrize("guarantee", ["each", "all"])
def test_an_honest_certificate_is_accepted_and_read_back(guarantee: str, tmp_path: Path) -> None:
    found = certification(guarantee)
    path = write_certificate(tmp_path / "c.json", found, artefact="m", dataset="d", truth=TRUTH)
    again = read_certificate(path)
    np.testing.assert_array_equal(again.radii, found.radii)
    np.testing.assert_array_equal(again.labels, found.labels)
    assert again.smoothing == found.smoothing
    summary = verifier.verify(path.read_bytes())
    assert summary.abstained == (found.labels < 0).sum()
    assert "right" in verifier.describe(summary)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a JSON document stands."""
    if isinstance(value, dict):
        return [p for key in value for p in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in leaves(item, (*path, i))]
    return [path]


def put(content: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any], Any]) -> None:
    *way, last = path
    holder: Any = content
    for step in way:
        holder = holder[step]
    holder[last] = change(holder[last])


OTHER: dict[type, list[Any]] = {
    str: ["", "other", None, 3],
    int: [-5, 10**6, 2.0, True, None, "3", 10**400],
    float: [-0.1, 1e308, 0, 7.5, None, "0.1", [0.1]],
}


@settings(max_examples=150)
@given(data=st.data())
def test_whatever_field_is_changed_the_certificate_is_rejected(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(leaves(CONTENT)))
    content = copy.deepcopy(CONTENT)
    before = functools.reduce(lambda value, step: value[step], path, content)
    other = data.draw(st.sampled_from([o for o in OTHER[type(before)] if o != before]))
    put(content, path, lambda _: other)
    with pytest.raises(verifier.RejectedError):
        verifier.verify(verifier.canonical(content))


def _nudge(amount: float) -> Callable[[Any], Any]:
    return lambda radius: radius + amount


@pytest.mark.parametrize(
    ("path", "change", "word"),
    [
        (("images", answered(), "radius"), _nudge(1e-6), "does not follow"),
        (("images", answered(), "radius"), _nudge(-1e-6), "radius must be"),
        (("images", answered(), "label"), lambda label: (label + 1) % 3, "label"),
        (("images", answered(), "label"), lambda label: -1, "abstain"),
        (("images", answered(), "radius"), lambda _: -0.0, "not negative"),
        (("images", answered(), "index"), lambda index: index + 1, "index"),
        (("images", answered(), "truth"), lambda _: 3, "truth"),
        (("images", answered(), "counts", 0), lambda count: count + 1, "sum"),
        (("images", answered(), "counts"), lambda counts: [*counts, 0], "length"),
        (("images", answered(), "counts"), lambda counts: [1001, -1, 0], "none negative"),
        (("images",), lambda rows: rows[:-1], "another number"),
        (("images",), lambda rows: [*rows[:-1], rows[0]], "index"),
        (("images",), lambda rows: rows[::-1], "index"),
        (("smoothing", "sigma"), lambda sigma: sigma * 2, "ceiling"),
        (("smoothing", "alpha"), lambda alpha: alpha * 10, "alpha_each"),
        (("smoothing", "alpha"), lambda _: 0.7, "alpha"),
        (("smoothing", "guarantee"), lambda _: "each", "alpha_each"),
        (("smoothing", "num_samples"), lambda _: 10**9, "num_samples"),
        (("smoothing", "over"), lambda _: "rotation", "over"),
        (("alpha_each",), lambda alpha: alpha * 2, "alpha_each"),
        (("ceiling",), lambda ceiling: ceiling + 1e-6, "ceiling"),
        (("classes",), lambda _: 10**9, "classes"),
        (("version",), lambda _: 2, "version"),
        (("artefact", "sha256"), lambda text: text.upper(), "hexadecimal"),
        (("artefact", "name"), lambda _: "\x1b[2J", "printable"),
        (("artefact",), lambda item: {**item, "more": 1}, "unknown"),
    ],
)
def test_a_forger_who_makes_a_new_digest_is_still_found(
    path: tuple[Any, ...], change: Callable[[Any], Any], word: str
) -> None:
    content = copy.deepcopy(CONTENT)
    put(content, path, change)
    with pytest.raises(verifier.RejectedError, match=word):
        verifier.verify(sealed(content))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"index":0', '"index":0,"index":0'),
        lambda text: text.replace('"index":0', '"index": 0'),
        lambda text: text.replace('"ceiling":1', '"ceiling":01'),
        lambda text: text.replace('"ceiling":', '"ceiling":NaN,"x":'),
        lambda text: text.replace('"ceiling":', '"ceiling":1e999,"x":'),
        lambda text: text + " ",
        lambda text: text[:-5],
        lambda text: "[" * 100_000,
        lambda text: "[]\n",
        lambda text: "9" * 10_000,
        lambda text: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        lambda text: "",
    ],
)
def test_a_file_that_is_not_canonical_json_is_rejected(spoil: Callable[[str], str]) -> None:
    text = spoil(verifier.canonical(CONTENT).decode())
    with pytest.raises(verifier.RejectedError):
        verifier.verify(text.encode("latin-1"))


def test_another_artefact_is_rejected() -> None:
    with pytest.raises(verifier.RejectedError, match="another file"):
        verifier.verify(verifier.canonical(CONTENT), MODEL + b"!")
    assert verifier.verify(verifier.canonical(CONTENT), MODEL).artefact_checked


def test_a_classifier_without_a_hash_gets_no_certificate(tmp_path: Path) -> None:
    found = certify(Classifier(CLASSIFIER.ask), IMAGES[:2], Smoothing(0.5, 50, 5))
    with pytest.raises(RobustnessError, match="hexadecimal"):
        write_certificate(tmp_path / "c.json", found, artefact="m", dataset="d")


def test_the_verifier_runs_alone_without_this_package(tmp_path: Path) -> None:
    """In isolated mode, from a copy, with nothing but the standard library."""
    path = write_certificate(tmp_path / "c.json", FOUND, artefact="m", dataset="d")
    program = tmp_path / "check.py"
    program.write_bytes(Path(verifier.__file__).read_bytes())
    call = [sys.executable, "-I", "-S", str(program), str(path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "ACCEPTED" in done.stdout
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "REJECTED: version" in done.stderr


def test_honest_counts_pass_the_spot_check() -> None:
    check = spot_check(FOUND, CLASSIFIER, IMAGES, seed=9, num_samples=500)
    assert check.passed
    assert len(check.images) == (FOUND.labels >= 0).sum()


def test_honest_counts_raise_alarm_no_more_often_than_stated() -> None:
    alarms = sum(
        not spot_check(
            FOUND, CLASSIFIER, IMAGES, seed=seed, num_images=4, num_samples=150, false_alarm=0.1
        ).passed
        for seed in range(60)
    )
    assert alarms <= 13  # of 60 at .1: more has a chance of .003


def test_invented_counts_verify_and_fall_at_the_spot_check() -> None:
    content = copy.deepcopy(CONTENT)
    each, how = content["alpha_each"], content["smoothing"]
    for row in content["images"]:
        chosen = int(np.argmax(row["selection"]))
        row["counts"] = [990 if k == chosen else 5 for k in range(3)]
        row["label"] = chosen
        row["radius"] = certified_radius(how["sigma"], 990, 1000, each)
    assert verifier.verify(sealed(content)).abstained == 0
    forged = certification()
    forged.counts[:] = [row["counts"] for row in content["images"]]
    check = spot_check(forged, CLASSIFIER, IMAGES, seed=9, num_samples=300)
    assert not check.passed
    assert len(check.alarms) > 6


def test_the_spot_check_is_about_these_images_and_this_file() -> None:
    with pytest.raises(RobustnessError, match="images"):
        spot_check(FOUND, CLASSIFIER, IMAGES[::-1], seed=1)
    with pytest.raises(RobustnessError, match="artefact"):
        spot_check(FOUND, Classifier(CLASSIFIER.ask, sha256="ab"), IMAGES, seed=1)


def test_the_command_verifies_and_shows(tmp_path: Path) -> None:
    from helpers.cli.certificate import command

    path = write_certificate(tmp_path / "c.json", FOUND, artefact="m", dataset="d")
    shown = CliRunner().invoke(command, ["show", str(path)])
    assert shown.exit_code == 0
    assert "sigma 0.5" in shown.output
    good = CliRunner().invoke(command, ["verify", str(path)])
    assert good.exit_code == 0
    assert "ACCEPTED" in good.output
    content = json.loads(path.read_bytes())
    content["images"][0]["radius"] = 9.0
    path.write_bytes(sealed(content))
    bad = CliRunner().invoke(command, ["verify", str(path)])
    assert isinstance(bad.exception, RobustnessError)
    assert "radius" in str(bad.exception)


def test_the_command_certifies_a_model_file_and_draws_anew(
    artefact: Artefact, examples: Examples, tmp_path: Path
) -> None:
    from helpers.cli.certificate import command

    model = artefact.save(tmp_path / "model.tflite")
    images, labels, made = (tmp_path / name for name in ("x.npy", "y.npy", "c.json"))
    np.save(images, examples[0][:5])
    np.save(labels, examples[1][:5])
    given = ["--images", str(images), "--sigma", "0.15", "--samples", "300"]
    run = ["make", str(model), str(made), *given, "--labels", str(labels)]
    assert CliRunner().invoke(command, run).exit_code == 0
    verified = CliRunner().invoke(command, ["verify", str(made), "--artefact", str(model)])
    assert verified.exit_code == 0
    again = ["spot-check", str(made), "--artefact", str(model), "--images", str(images)]
    checked = CliRunner().invoke(command, [*again, "--samples", "100", "--seed", "3"])
    assert checked.exit_code == 0
    assert "agree" in checked.output
