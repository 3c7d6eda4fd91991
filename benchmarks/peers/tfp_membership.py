"""Peer of membership_inference.py: TensorFlow Privacy's attacks, from tensorflow-empirical-privacy.

Run by membership_inference.py as ``tfp_membership.py GIVEN.npz ANSWERED.npz REPEATS``. Writes what
each attack found and prints its CPU seconds as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack import (
    advanced_mia,
    membership_inference_attack,
)
from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack.data_structures import (
    AttackInputData,
    AttackType,
)


def main() -> None:
    repeats = int(sys.argv[3])
    with np.load(sys.argv[1], allow_pickle=False) as archive:
        given = {name: archive[name] for name in archive.files}
    results, seconds = {}, {}
    for name, call in attacks(given).items():
        results[name] = call()
        seconds[name] = [once(call) for _ in range(repeats)]
    np.savez(sys.argv[2], **results)
    packages = ("tensorflow-empirical-privacy", "scikit-learn", "numpy", "scipy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(json.dumps({"seconds": seconds, "versions": versions}))


def once(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def attacks(given: dict[str, np.ndarray]) -> dict[str, Callable[[], Any]]:
    """The attacks by name; model 0 is the target, and its mirror image 1 is left out."""
    confidence, members = given["confidence"], given["members"]
    target, inside = confidence[0][:, None], members[0]
    columns = range(confidence.shape[1])
    stat_in = [confidence[2:, i][members[2:, i]][:, None] for i in columns]
    stat_out = [confidence[2:, i][~members[2:, i]][:, None] for i in columns]

    def ratio(shared: bool) -> np.ndarray:
        # Its scores are small for members.
        return -advanced_mia.compute_score_lira(
            target, stat_in, stat_out, fix_variance=shared, median_or_mean="mean"
        )

    def area() -> float:
        data = AttackInputData(loss_train=-target[inside, 0], loss_test=-target[~inside, 0])
        found = membership_inference_attack.run_attacks(
            data, attack_types=(AttackType.THRESHOLD_ATTACK,)
        )
        return float(found.single_attack_results[0].get_auc())

    return {
        "scaled confidence": lambda: advanced_mia.calculate_statistic(
            given["outputs"][0].astype(np.float64), given["labels"]
        ),
        "area of the loss threshold": area,
        "likelihood ratio, one deviation for all": lambda: ratio(True),
        "likelihood ratio, one deviation each": lambda: ratio(False),
    }


if __name__ == "__main__":
    main()
