"""``edgesec audit`` from end to end: a small int8 file of this run's own, in the real sandbox."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

from helpers import data
from helpers.audit import schema
from helpers.audit.compare import compare as compare_audits
from helpers.audit.report import to_html
from helpers.audit.runner import run_audit
from helpers.audit.sections import SECTIONS
from helpers.cli.audit import FOUND, REFUSED, _summary, command
from helpers.course import measurements
from helpers.edge import convert, signing
from helpers.edge.devices import NETWORKS
from helpers.errors import AuditError, EdgesecError
from helpers.threats.lab_reports import read_report
from helpers.watermark.key import Key
from helpers.watermark.uchida import WeightMessage
from tests.audit.conftest import CLASSES, onnx_classifier
from tests.audit.doubles import bench
from tests.edge.conftest import wake_word
from tests.edge.test_fuzz import crashing_file

if TYPE_CHECKING:
    import tensorflow as tf

QUICK = ("--epsilon", "48/255", "--images", "40", "--queries", "40", "--quiet")


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def network(digits: data.Dataset) -> tf.keras.Model:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)
    layers = tf.keras.layers
    picture = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(picture)
    x = layers.Dense(10)(layers.Flatten()(x))
    model = tf.keras.Model(picture, layers.Softmax()(x))
    model.compile(tf.keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(digits.x_train[:500], digits.y_train[:500], 32, 10, verbose=0)
    return model


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", source="offline")


@pytest.fixture(scope="module")
def files(network: tf.keras.Model, digits: data.Dataset, folder: Path) -> dict[str, Path]:
    """The file, its float original, a key and signature, and examples of every kind."""
    made = {
        "model": convert.to_tflite(network, "int8", digits.x_train[:100]).save(folder / "m"),
        "float": convert.to_tflite(network).save(folder / "float"),
    }
    key = signing.new_keys(folder)
    signing.sign(made["model"], key.private)
    x, y = digits.x_train, digits.y_train
    parts: dict[str, Any] = {
        "x": np.concatenate([digits.x_test, x[500:600]]),
        "y": np.concatenate([digits.y_test, y[500:600]]),
        "members_x": x[:300], "members_y": y[:300],
        "nonmembers_x": x[700:1000], "nonmembers_y": y[700:1000],
        "triggers_x": x[:16], "triggers_y": y[:16],
    }  # fmt: skip
    np.savez(folder / "data.npz", **parts)
    return {**made, "key": key.public, "private": key.private, "data": folder / "data.npz"}


@pytest.fixture(scope="module")
def whole(files: dict[str, Path], folder: Path) -> tuple[Result, Path]:
    out = folder / "whole"
    done = audit(
        files["model"], "--data", files["data"], "--float", files["float"], "--budget", "10m",
        "--public-key", files["key"], "--out", out, "--fail-on", "high", *QUICK,
    )  # fmt: skip
    return done, out


@pytest.fixture(scope="module")
def report(whole: tuple[Result, Path]) -> dict[str, Any]:
    return schema.read(whole[1] / "audit.json")


def section(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in report["sections"] if entry["name"] == name)


def value(report: dict[str, Any], name: str, key: str) -> float:
    measures = section(report, name)["measures"]
    return next(float(m["value"]) for m in measures if m["key"] == key)


def test_one_command_writes_page_json_card_and_threats(whole: tuple[Result, Path]) -> None:
    done, out = whole
    assert done.exit_code == FOUND, done.output
    assert sorted(p.name for p in out.iterdir()) == [
        "audit.html", "audit.json", "model-card.md", "threats.json",
    ]  # fmt: skip
    assert "Audit of m.tflite" in (out / "audit.html").read_text()
    assert "## Quantitative analyses" in (out / "model-card.md").read_text()


def test_every_section_did_its_work(report: dict[str, Any]) -> None:
    assert report["complete"]
    states = {entry["name"]: entry["status"] for entry in report["sections"]}
    partly = {"ownership", "cost"}  # there are no innocents; a device may have no figures
    reasons = [reason for entry in report["sections"] for reason in entry["not_done"]]
    assert {name for name, state in states.items() if state != "done"} <= partly, reasons
    assert states["ownership"] == "partly"


def test_the_numbers_are_those_of_the_file(
    report: dict[str, Any], files: dict[str, Path], digits: data.Dataset
) -> None:
    """An oracle for the accuracy: the same file in this process, in TensorFlow's own runtime."""
    from helpers.edge.runtimes import open_model

    with np.load(files["data"]) as stored, open_model(files["model"], "tflite") as runner:
        right = runner.predict(stored["x"]).argmax(axis=1) == stored["y"]
    # The two runtimes may round a tie differently.
    assert value(report, "accuracy", "accuracy") == pytest.approx(right.mean(), abs=0.01)
    assert value(report, "identity", "size") == files["model"].stat().st_size
    assert report["data"]["span"] == [0, 1]


def test_attacks_find_what_is_there_and_the_best_of_them_counts(report: dict[str, Any]) -> None:
    found = {m["key"]: m for m in section(report, "attacks")["measures"]}
    each = [found[f"{name}_success"]["value"] for name in ("replica", "transfer", "square")]
    assert found["replica_success"]["value"] > 0.5
    assert found["success"]["value"] >= max(each)
    assert all(m["low"] <= m["value"] <= m["high"] for m in found.values())
    assert section(report, "attacks")["queries"] > 1000


def test_more_questions_make_a_better_copy(report: dict[str, Any]) -> None:
    (chart,) = section(report, "extraction")["charts"]
    copy = chart["series"][0]
    assert copy["y"][-1] > copy["y"][0]
    assert copy["y"][-1] > 0.6


def test_a_network_smaller_than_any_that_was_published_gets_no_estimate(
    report: dict[str, Any],
) -> None:
    found = section(report, "cost")
    kinds = {m["key"]: m["kind"] for m in found["measures"]}
    assert kinds["latency"] == "measured"
    assert "estimated" not in kinds.values()
    assert any("Cortex-M4" in r and "lies below those" in r for r in found["not_done"])


def test_estimates_are_called_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench()
    work = NETWORKS["mlperf-tiny keyword spotting"]
    module = importlib.import_module("helpers.audit.sections.cost")
    monkeypatch.setattr(module, "count_costs", lambda graph: graph)
    monkeypatch.setattr(module, "work_of", lambda costs: work)
    vars(one.model)["graph"] = lambda: None
    report = run_audit(one, 60, sections=[s for s in SECTIONS if s.name == "cost"])
    kinds = {m["key"]: m["kind"] for m in section(report, "cost")["measures"]}
    assert kinds["estimate-raspberry-pi-4"] == "estimated"
    assert "estimated, not measured" in to_html(report)


def test_the_threat_model_reads_what_was_written(
    whole: tuple[Result, Path], report: dict[str, Any]
) -> None:
    found = {m.threat for m in read_report(whole[1] / "threats.json")}
    copies = {m["key"]: m for m in section(report, "extraction")["measures"]}
    bought = copies["fidelity"]["low"] > copies["without_answers"]["high"]
    always = {"evasion", "physical-perturbation", "membership-inference"}
    assert found == always | ({"extraction"} if bought else set())


def test_the_page_sets_what_the_labs_measured_beside_it(whole: tuple[Result, Path]) -> None:
    page = (whole[1] / "audit.html").read_text("utf-8")
    lab_6 = measurements.of_lab("what-the-small-model-remembers")["patients-named-float32"]
    assert lab_6.text in page[page.index('id="beside"') :]


def test_a_small_budget_is_kept_to_within_one_step(files: dict[str, Path], folder: Path) -> None:
    """Opening and writing come on top; a step is one copy's batch, a group of pictures, a fold."""
    out = folder / "short"
    done = audit(files["model"], "--data", files["data"], "--budget", "8s", "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    report = schema.read(out / "audit.json")
    assert report["complete"]
    assert report["seconds"] < 8 + 4
    late = [reason for entry in report["sections"] for reason in entry["not_done"]]
    assert any("--budget" in reason for reason in late)


def test_a_file_that_was_changed_after_signing_does_not_verify(
    files: dict[str, Path], folder: Path
) -> None:
    changed = folder / "changed.tflite"
    content = files["model"].read_bytes()
    changed.write_bytes(content + b"\0")
    changed.with_name("changed.tflite.sig").write_bytes(
        files["model"].with_name("m.tflite.sig").read_bytes()
    )
    out = folder / "changed"
    done = audit(changed, "--public-key", files["key"], "--out", out, "--fail-on", "critical",
                 "--quiet")  # fmt: skip
    assert done.exit_code == FOUND
    found = section(schema.read(out / "audit.json"), "signature")["findings"]
    assert [finding["severity"] for finding in found] == ["critical"]


def test_a_signature_that_is_not_there_is_no_verdict(tmp_path: Path) -> None:
    one = bench(public_key=signing.new_keys(tmp_path).public)
    one.path = tmp_path / "unsigned.onnx"
    one.path.write_bytes(b"plain")
    report = run_audit(one, 60, sections=[s for s in SECTIONS if s.name == "signature"])
    found = section(report, "signature")
    assert not found["findings"]
    assert "no signature unsigned.onnx.sig" in found["not_done"][0]


def test_a_model_of_another_kind_still_gets_a_report(folder: Path) -> None:
    """A third party's streaming wake word: it keeps state, so no answer can be judged."""
    out = folder / "wake"
    done = audit(wake_word("alexa"), "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    report = schema.read(out / "audit.json")
    assert report["model"]["task"].startswith("other: it keeps state")
    assert section(report, "identity")["status"] == "done"
    assert value(report, "cost", "latency") > 0
    for name in ("accuracy", "attacks", "extraction", "corruption"):
        assert "keeps state" in section(report, name)["not_done"][0]


def test_inputs_that_are_no_pictures_get_what_can_be_measured(folder: Path) -> None:
    """An ``.onnx`` of one matrix, on 60 vectors: too few for a thief and a judge."""
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(5, CLASSES)).astype(np.float32), rng.normal(size=(60, 5))
    (folder / "m.onnx").write_bytes(onnx_classifier(weights))
    np.savez(folder / "v.npz", x=x, y=(x @ weights).argmax(axis=1))
    out = folder / "vectors"
    done = audit(folder / "m.onnx", "--data", folder / "v.npz", "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    report = schema.read(out / "audit.json")
    assert value(report, "accuracy", "accuracy") == 1
    assert "no pictures" in section(report, "attacks")["not_done"][0]
    assert "no pictures" in section(report, "corruption")["not_done"][0]
    assert "too few" in section(report, "extraction")["not_done"][0]
    assert any("onnx" in reason for reason in section(report, "cost")["not_done"])


def test_compare_says_what_changed(whole: tuple[Result, Path], folder: Path) -> None:
    before = whole[1] / "audit.json"
    assert audit("compare", before, before, "--fail-on-worse").exit_code == 0
    worse = json.loads(before.read_text())
    accuracy = section(worse, "accuracy")["measures"][0]
    accuracy.update(value=0.1, low=0.05, high=0.15)
    after = folder / "worse.json"
    after.write_text(json.dumps(worse))
    done = audit("compare", before, after, "--fail-on-worse", "--html", folder / "c.html")
    assert done.exit_code == FOUND
    assert "worse     Accuracy: Accuracy:" in done.output
    assert "Two audits compared" in (folder / "c.html").read_text()


def test_a_page_is_made_again_from_a_stored_audit(
    whole: tuple[Result, Path], tmp_path: Path
) -> None:
    done = audit("render", whole[1] / "audit.json", "--out", tmp_path)
    assert done.exit_code == 0
    assert (tmp_path / "audit.html").read_text() == (whole[1] / "audit.html").read_text()


def test_the_schema_is_printed() -> None:
    assert json.loads(audit("schema").output)["properties"]["schema"]["const"] == schema.SCHEMA


def test_help_shows_options_and_examples() -> None:
    text = audit("--help").output
    assert all(word in text for word in ("--budget", "--fail-on", "compare", "Examples:"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "soon"), "1h30m"),
        (("--device", "toaster"), "cortex-m4"),
        (("--epsilon", "300/255"), "between 1/255 and 1"),
        (("--seed", "-1"), "seed=-1 must be a whole number of at least 0"),
        (("--data", "{model}"), r"no \.npz"),
        (("--range", "1,0", "--data", "{data}"), "smaller first"),
        (("--label-offset", "5", "--data", "{data}"), "classes"),
        (("--public-key", "{model}"), "is no public key"),
        (("--public-key", "{private}"), "is a private key"),
        (("--input-shape", "8,8"), "cannot have the sizes 8, 8"),
        (("--input-shape", "8,x"), "whole numbers from 1"),
        (("--mark-key", "{data}"), "come together"),
        (("--mark-key", "{data}", "--mark-layer", "0"), "is no key"),
    ],
)
def test_a_wrong_word_is_refused_before_any_work(
    arguments: tuple[str, ...], said: str, files: dict[str, Path], tmp_path: Path
) -> None:
    given = [word.format(**files) for word in arguments]
    with pytest.raises((AuditError, EdgesecError), match=said):
        audit(files["model"], *given, "--out", tmp_path / "out", "--quiet")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"not a model at all", b"\x10\0\0\0TFL3" + bytes(100)])
def test_a_refused_file_leaves_a_report_and_an_exit_code_of_its_own(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "m.tflite").write_bytes(content)
    out = tmp_path / "out"
    done = audit(tmp_path / "m.tflite", "--out", out)
    assert done.exit_code == REFUSED, done.output
    report = schema.read(out / "audit.json")
    assert report["verdict"]["outcome"] == "refused"
    assert report["verdict"]["reason"].startswith("refused, because: ")
    assert str(tmp_path) not in json.dumps(report)  # folders are nobody else's business
    assert report["model"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert "refused, because" in (out / "audit.html").read_text()
    assert "refused" in done.output
    sound = schema.check(run_audit(bench(), 60, sections=[]))
    assert compare_audits(sound, report).worse


def test_a_file_that_crashes_its_runtime_is_reported_with_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(crashing_file())
    assert audit(tmp_path / "m.tflite", "--out", tmp_path, "--quiet").exit_code == REFUSED
    report = schema.read(tmp_path / "audit.json")
    assert report["incidents"][0].startswith("crash during open")


def test_a_file_that_cannot_be_read_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(AuditError, match="no regular file"):
        audit(tmp_path / "pipe.tflite", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_summary_gives_every_reason(whole: tuple[Result, Path], tmp_path: Path) -> None:
    report = schema.read(whole[1] / "audit.json")
    reasons = [reason for entry in report["sections"] for reason in entry["not_done"]]
    assert len(reasons) > 2
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        _summary(report, tmp_path)
    assert all(reason in shown.getvalue() for reason in reasons)


def test_a_key_of_another_kind_is_no_verdict_about_the_file(
    files: dict[str, Path], tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    other = ed25519.Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ed.pub").write_bytes(other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ))  # fmt: skip
    with pytest.raises(EdgesecError, match=r"another kind \(Ed25519"):
        audit(files["model"], "--public-key", tmp_path / "ed.pub", "--out", tmp_path / "out")
    one = bench(public_key=tmp_path / "ed.pub")
    one.path = tmp_path / "m.onnx"
    one.path.write_bytes(b"plain")
    report = run_audit(one, 60, sections=[s for s in SECTIONS if s.name == "signature"])
    assert not section(report, "signature")["findings"]


def test_a_mark_in_the_weights_is_found_with_its_key_and_no_other(
    network: tf.keras.Model, digits: data.Dataset, tmp_path: Path
) -> None:
    key, scheme = Key(bytes(range(32))), WeightMessage(0, bits=32, epochs=8, learning_rate=0.02)
    marked = scheme.embed(network, digits.x_train[:300], digits.y_train[:300], key)
    model = convert.to_tflite(marked, "int8", digits.x_train[:100]).save(tmp_path / "m")
    found = {}
    for name, secret in (("owner", key), ("other", Key(bytes(32)))):
        (tmp_path / name).write_text(secret.secret.hex() + "\n")
        audit(model, "--mark-key", tmp_path / name, "--mark-layer", "0", "--mark-bits", "32",
              "--out", tmp_path, "--quiet")  # fmt: skip
        report = schema.read(tmp_path / "audit.json")
        found[name] = value(report, "ownership", "weights"), value(report, "ownership", "weights_p")
        assert secret.secret.hex() not in (tmp_path / "audit.json").read_text()
        assert "takes 8" in section(report, "ownership")["not_done"][0]
    assert found["owner"][0] > 0.9
    for share, chance in found.values():  # of so many heads among 32 fair coins
        assert chance == pytest.approx(stats.binom.sf(round(32 * share) - 1, 32, 0.5))
    assert found["other"][1] > 1e-3


@pytest.mark.usefixtures("one_copy")
def test_one_number_for_two_classes_is_a_classifier(folder: Path) -> None:
    """The last column of a softmax over two is the sigmoid of their difference."""
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(5, 1)).astype(np.float32), rng.normal(size=(200, 5))
    (folder / "binary.onnx").write_bytes(onnx_classifier(weights, last="Sigmoid"))
    np.savez(folder / "b.npz", x=x, y=(x @ weights)[:, 0] > 0)
    with np.load(folder / "b.npz") as stored:
        np.savez(folder / "b.npz", x=stored["x"], y=stored["y"].astype(int))
    out = folder / "binary"
    done = audit(folder / "binary.onnx", "--data", folder / "b.npz", "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    report = schema.read(out / "audit.json")
    assert report["model"]["task"] == "classifier of 2 classes"
    assert "one for two classes" in report["model"]["answers"]
    assert value(report, "accuracy", "accuracy") == 1
    assert value(report, "extraction", "fidelity") > 0.8


def test_a_regression_is_refused_where_classes_are_needed(folder: Path) -> None:
    rng = np.random.default_rng(0)
    weights, x = rng.normal(size=(5, 1)).astype(np.float32), rng.normal(size=(60, 5))
    (folder / "r.onnx").write_bytes(onnx_classifier(weights, last="Identity"))
    np.savez(folder / "r.npz", x=x, y=rng.integers(0, 2, 60))
    np.savez(folder / "real.npz", x=x, y=x @ weights)
    out, given = (
        folder / "regression",
        (folder / "r.onnx", "--quiet", "--out", folder / "regression"),
    )
    with pytest.raises(AuditError, match="say --answers values"):
        audit(*given, "--data", folder / "real.npz")
    assert audit(*given, "--data", folder / "r.npz", "--fail-on", "high").exit_code == FOUND
    report = schema.read(out / "audit.json")
    assert "as a regression gives" in section(report, "accuracy")["not_done"][0]
    assert audit(*given, "--data", folder / "real.npz", "--answers", "values").exit_code == 0
    report = schema.read(out / "audit.json")
    assert "stated to be measured values" in section(report, "accuracy")["not_done"][0]
    assert value(report, "answers", "repeated") == 1
    assert value(report, "cost", "latency") > 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    stored, taken = tmp_path / "audit.json", tmp_path / "taken"
    stored.write_text(schema.dump(run_audit(bench(), 60, sections=[])))
    taken.write_text("")
    with pytest.raises(AuditError, match="--out"):
        audit("render", stored, "--out", taken / "deeper")
