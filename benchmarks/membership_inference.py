r"""Membership inference beside ART and TensorFlow Privacy, on the same confidences.

Run from the repository root:

    python benchmarks/membership_inference.py
    python benchmarks/membership_inference.py --quick    # a small pass over every part

Trains shadow models, and hands the same numbers to each attack: the area and the rates of one
threshold, the gap attack, and the likelihood ratio of shadow models. The result, one JSON file,
gives the largest difference of each peer from ours, and CPU seconds taken in turns.

TensorFlow Privacy 0.9.0 ships no membership inference any more. Its code lives on in
``tensorflow-empirical-privacy``, which does not install beside this project and so needs an
environment of its own; without it that part is left out:

    python3.11 -m venv build/peers/empirical-privacy
    build/peers/empirical-privacy/bin/pip install --no-deps tensorflow-empirical-privacy==0.1.0
    build/peers/empirical-privacy/bin/pip install numpy==1.26.4 scipy==1.13.1 pandas \
        matplotlib absl-py immutabledict statsmodels "scikit-learn<1.5"
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
from common.figures import record_path, save, spread, stamp
from common.leaking import digits, network
from common.peers import run_peer

from helpers.privacy.membership import (
    ShadowTraining,
    gap_scores,
    leave_one_out,
    lira_scores,
    paired_halves,
    scaled_confidence,
    threshold_attack,
    train_shadows,
)

TFP = Path(__file__).parents[1] / "build" / "peers" / "empirical-privacy" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "tfp_membership.py"
LIMITS = (0.001, 0.01)
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    models, pool, repeats = (4, 200, 3) if options.quick else (16, 1000, options.repeats)
    inputs = prepare(models, pool)
    result: Figures = {
        "inputs": {"models": models, "examples": pool, "seed": 0, "mnist": "offline, 14 x 14"},
        "art": beside_art(inputs, repeats),
        "quick": options.quick,
        **stamp(
            __file__, before, "adversarial-robustness-toolbox", "tensorflow-cpu", "numpy", "scipy"
        ),
    }
    if options.tfp_python.exists():
        result["tensorflow_privacy"] = beside_tfp(inputs, repeats, options.tfp_python)
    save(options.out or record_path(__file__, options.quick), result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls (default: 15)")
    parser.add_argument("--tfp-python", type=Path, default=TFP, help="interpreter of that peer")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def prepare(models: int, pool: int) -> dict[str, np.ndarray]:
    """Train the models and return everything that an attack is given."""
    own = digits(pool)
    members = paired_halves(models, pool, seed=0)
    training = ShadowTraining(epochs=100, batch_size=25, learning_rate=0.05)
    shadows = train_shadows(network, own.x, own.y, members, training)
    outputs = shadows.outputs(own.x)
    return {
        "outputs": outputs,
        "labels": own.y,
        "members": members,
        "confidence": scaled_confidence(outputs, own.y),
    }


def beside_art(inputs: dict[str, np.ndarray], repeats: int) -> Figures:
    """ART's rates at a limit and its gap attack, on our scores and on the same answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that PyTorch is missing
        from art.attacks.inference.membership_inference import (
            MembershipInferenceBlackBoxRuleBased,
        )
        from art.estimators.classification import BlackBoxClassifier
        from art.metrics.privacy import get_roc_for_fpr

    scores = leave_one_out(inputs["confidence"], inputs["members"])
    flat, truth = scores.ravel(), inputs["members"].ravel()
    logits, labels = inputs["outputs"][0], inputs["labels"]
    classifier = BlackBoxClassifier(lambda x: logits[x[:, 0].astype(int)], (1,), 10)
    gap = MembershipInferenceBlackBoxRuleBased(classifier)
    rows = np.arange(len(labels), dtype=np.float32)[:, None]

    def ours_at_limits() -> list[float]:
        attack = threshold_attack(flat[truth], flat[~truth])
        return [attack.tpr_at_fpr(limit) for limit in LIMITS]

    def theirs_at_limits() -> list[float]:
        kinds = truth.astype(int)
        return [float(get_roc_for_fpr(flat, kinds, targeted_fpr=x)[0][1]) for x in LIMITS]

    def ours_gap() -> np.ndarray:
        return gap_scores(logits.argmax(axis=1), labels)

    def theirs_gap() -> np.ndarray:
        return np.asarray(gap.infer(rows, labels), float)

    return {
        "true-positive rates at 0.1 % and 1 %": compare(ours_at_limits, theirs_at_limits, repeats),
        "gap attack": compare(ours_gap, theirs_gap, repeats),
    }


def beside_tfp(inputs: dict[str, np.ndarray], repeats: int, python: Path) -> Figures:
    """Hand the same arrays to the peer process, and do the same here."""
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "given.npz", Path(folder) / "answered.npz"
        np.savez(given, **inputs)
        told = run_peer(python, PEER, [str(given), str(answered), str(repeats)], timeout=900)
        with np.load(answered, allow_pickle=False) as archive:
            theirs = {name: archive[name] for name in archive.files}
    target, shadows = inputs["confidence"][0], inputs["confidence"][2:]
    members, inside = inputs["members"][2:], inputs["members"][0]
    outputs, labels = inputs["outputs"][0], inputs["labels"]

    def area() -> float:
        attack = threshold_attack(target[inside], target[~inside])
        return attack.auc

    work: dict[str, Callable[[], Any]] = {
        "scaled confidence": lambda: scaled_confidence(outputs, labels),
        "area of the loss threshold": area,
        "likelihood ratio, one deviation for all": lambda: lira_scores(target, shadows, members),
        "likelihood ratio, one deviation each": lambda: lira_scores(
            target, shadows, members, variance="example"
        ),
    }
    found: Figures = {"versions": told["versions"]}
    for name, call in work.items():
        seconds = timed({"ours": call}, repeats)["ours"]
        found[name] = {
            "largest_difference": float(np.max(np.abs(call() - theirs[name]))),
            "cpu_seconds": {"ours": spread(seconds), "peer": spread(told["seconds"][name])},
            "times_faster": float(np.median(told["seconds"][name]) / np.median(seconds)),
        }
    return found


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> Figures:
    """Run both, in turns, and return the difference and the times."""
    difference = np.max(np.abs(np.asarray(ours()) - np.asarray(theirs())))
    seconds = timed({"ours": ours, "peer": theirs}, repeats)
    return {
        "largest_difference": float(difference),
        "cpu_seconds": {name: spread(values) for name, values in seconds.items()},
        "times_faster": float(np.median(seconds["peer"]) / np.median(seconds["ours"])),
    }


def timed(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Take the CPU time of every call in turns; each was called once before."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return seconds


def report(result: Figures) -> str:
    """Lay the main figures out as text."""
    lines = []
    for peer in ("art", "tensorflow_privacy"):
        for name, part in result.get(peer, {}).items():
            if "largest_difference" in part:
                lines.append(
                    f"{peer:<19} {name:<40} differs by {part['largest_difference']:.1e}, ours is "
                    f"{part['times_faster']:.1f} times as fast"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
