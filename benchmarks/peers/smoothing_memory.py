"""Certify one image by votes, ours or ART's, and print the peak memory as one JSON object.

Run by ``benchmarks/certification.py``, each time as a process of its own:

    PYTHON benchmarks/peers/smoothing_memory.py ours|ART VOTES

Memory is what the process takes, at its peak, on top of what it has once the model is made and has
answered. Linux only.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np

from helpers import models
from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify

SHAPE, SIGMA, BATCH = (32, 32, 3), 0.25, 256


def main() -> None:
    warnings.filterwarnings("ignore")
    mode, votes = sys.argv[1], int(sys.argv[2])
    model = models.small_cnn(SHAPE, 10)
    image = np.random.default_rng(0).uniform(0, 1, (1, *SHAPE)).astype(np.float32)
    classifier = Classifier.of_model(model)
    certify(classifier, image, Smoothing(SIGMA, 2 * BATCH, BATCH), batch_size=BATCH)
    run: Callable[[], Any]
    if mode == "ours":
        run = partial(certify, classifier, image, Smoothing(SIGMA, votes), batch_size=BATCH)
    else:
        from art.estimators.certification.randomized_smoothing import (
            TensorFlowV2RandomizedSmoothing,
        )

        smoothed = TensorFlowV2RandomizedSmoothing(
            model, nb_classes=10, input_shape=SHAPE, sample_size=100, scale=SIGMA
        )
        smoothed.certify(image, 2 * BATCH, batch_size=BATCH)
        run = partial(smoothed.certify, image, votes, batch_size=BATCH)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run()
    megabytes = round((resident("VmHWM") - before) / 1000, 1)
    print(json.dumps({"megabytes": megabytes}))


def resident(field: str) -> int:
    """Return the resident size now (``VmRSS``) or at its peak (``VmHWM``), in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    main()
