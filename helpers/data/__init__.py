"""Named datasets behind one interface, and ways to split them over clients.

>>> from helpers import data
>>> ds = data.load("mnist", source="offline")
>>> print(ds.describe())

Every dataset has an offline default, so nothing here needs a network unless it is asked to:
real data where an installed package carries some, else images generated from a seed and
labelled *synthetic*. :mod:`helpers.data.folders` says where full and local copies live.
"""

from helpers.data import partition
from helpers.data.dataset import Dataset
from helpers.data.loaders import (
    breast_cancer,
    cifar10,
    digits,
    fashion_mnist,
    fetch,
    load,
    mnist,
)

__all__ = [
    "Dataset",
    "breast_cancer",
    "cifar10",
    "digits",
    "fashion_mnist",
    "fetch",
    "load",
    "mnist",
    "partition",
]
