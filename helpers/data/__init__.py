"""Named datasets behind one interface, and ways to split them over clients.

>>> from helpers import data
>>> ds = data.load("mnist", source="offline")
>>> print(ds.describe())

Nothing here touches a network unless it is asked to. The offline default of a dataset is real
data where an installed package carries some, else images or speech generated from a seed and
labelled *synthetic*; ``heart_disease`` alone has none and must be fetched once.
:mod:`helpers.data.folders` says where full and local copies live.
"""

from helpers.data import audio, heterogeneity, partition, standardise
from helpers.data.aerial_drawn import aerial_scenes
from helpers.data.aerial_photographs import aerial_cars
from helpers.data.annotated import Annotated, DetectionDataset
from helpers.data.bays import Bays, find_bays
from helpers.data.dataset import Dataset
from helpers.data.loaders import (
    breast_cancer,
    cifar10,
    digits,
    fashion_mnist,
    fetch,
    heart_disease,
    lfw_faces,
    load,
    mnist,
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
    "digits",
    "fashion_mnist",
    "fetch",
    "find_bays",
    "heart_disease",
    "heterogeneity",
    "lfw_faces",
    "load",
    "mnist",
    "partition",
    "speech_commands",
    "spoken_digits",
    "standardise",
]
