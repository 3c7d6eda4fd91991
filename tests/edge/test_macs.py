from __future__ import annotations

import numpy as np
import pytest

from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.edge.macs import count_costs
from tests.edge.conftest import wake_word


def test_the_count_is_the_formula_by_hand(artefacts: dict[str, Artefact]) -> None:
    # 8x8 input; 3x3 convolution to 8; 3x3 depthwise at stride 2; 1x1 to 8; 3x3 pooled to dense 10.
    by_hand = 64 * 9 * 8 + 16 * 9 * 8 + 16 * 8 * 8 + 3 * 3 * 8 * 10
    for artefact in artefacts.values():
        assert count_costs(artefact.data).macs == by_hand


def test_mobilenet_has_the_multiply_adds_of_its_paper() -> None:
    # Howard et al. 2017 (arXiv:1704.04861), table 6: 0.25 MobileNet-224, 41 million.
    import tensorflow as tf

    model = tf.keras.applications.MobileNet(alpha=0.25, weights=None)
    costs = count_costs(convert.to_tflite(model).data)
    assert costs.macs == pytest.approx(41e6, abs=0.6e6)
    # Its classifier is folded in, batch normalisation too: 0.5 million parameters in table 6.
    assert costs.weight_elements == pytest.approx(0.47e6, rel=0.02)


def test_bytes_are_elements_times_their_size(artefacts: dict[str, Artefact]) -> None:
    wide, narrow = (count_costs(artefacts[name].data) for name in ("float32", "int8"))
    assert wide.activation_bytes == 4 * wide.activation_elements
    assert narrow.activation_bytes == narrow.activation_elements == wide.activation_elements
    assert sum(wide.by_kind().values()) == wide.macs


def test_a_streaming_model_is_counted() -> None:
    costs = count_costs(wake_word("alexa"))
    kernels = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert set(costs.by_kind()) == kernels
    assert np.sign(costs.macs) == 1
