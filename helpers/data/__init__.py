"""Named datasets behind one interface, and ways to split them over clients.

>>> from helpers import data
>>> ds = data.load("mnist", source="offline")
>>> print(ds.describe())

Nothing here touches a network unless it is asked to. The offline default of a dataset is real
data where an installed package carries some, else images or speech generated from a seed and
labelled *synthetic*; patients are never invented, so ``heart_disease``, ``ph2`` and ``derma_mnist``
have none. :func:`helpers.data.lesions` and :func:`helpers.data.aerial_scenes` draw skin lesions and
streets from a seed.
:mod:`helpers.data.folders` says where full and local copies live.
"""

from helpers.data import audio, heterogeneity, partition, standardise
from helpers.data.aerial_drawn import aerial_scenes
from helpers.data.aerial_photographs import aerial_cars
from helpers.data.annotated import Annotated, DetectionDataset
from helpers.data.bays import Bays, find_bays
from helpers.data.dataset import Dataset
from helpers.data.lesions_drawn import lesions
from helpers.data.loaders import (
    breast_cancer,
    cifar10,
    derma_mnist,
    digits,
    fashion_mnist,
    fetch,
    heart_disease,
    lfw_faces,
    load,
    mnist,
    ph2,
    speech_commands,
    spoken_digits,
)

__all__ = [
    "Annotated",
    "Bays",
    "Dataset",
    "DetectionDataset",
    "aerial_cars",
    "aerial_scenes",
    "audio",
    "breast_cancer",
    "cifar10",
    "derma_mnist",
    "digits",
    "fashion_mnist",
    "fetch",
    "find_bays",
    "heart_disease",
    "heterogeneity",
    "lesions",
    "lfw_faces",
    "load",
    "mnist",
    "partition",
    "ph2",
    "speech_commands",
    "spoken_digits",
    "standardise",
]
