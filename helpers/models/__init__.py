"""The small reference networks that the labs share, each with its published source.

Every network returns logits (no softmax) in float32, has no state besides its weights, and draws
its initial weights from an explicit seed. TensorFlow loads when a network is made. ``ds_cnn``
normalises batches and can do without; ``mobilenet_v2`` cannot.
"""

from helpers.models.convolutional import lenet_dlg, mcmahan_cnn, small_cnn, wong_cnn
from helpers.models.dense import mcmahan_2nn, mlp
from helpers.models.keyword_spotting import ds_cnn
from helpers.models.keyword_training import fit_keywords
from helpers.models.mobilenet import (
    calibrated,
    mobilenet_v2,
    pretrained_mobilenet_v2,
    with_new_head,
)

__all__ = [
    "calibrated",
    "ds_cnn",
    "fit_keywords",
    "lenet_dlg",
    "mcmahan_2nn",
    "mcmahan_cnn",
    "mlp",
    "mobilenet_v2",
    "pretrained_mobilenet_v2",
    "small_cnn",
    "with_new_head",
    "wong_cnn",
]
