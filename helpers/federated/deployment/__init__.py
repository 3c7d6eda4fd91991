"""Federated learning as separate processes over mutual TLS, on one machine or on many.

>>> from helpers.federated.deployment import Consortium
>>> with Consortium(clients=4, rounds=5) as consortium:
...     history = consortium.wait()

What stands between a hospital and the average, from outside in:

==================  ==================================================  ========================
layer               what it checks                                      module
==================  ==================================================  ========================
mutual TLS 1.3      a certificate of the consortium, in force           ``gateway``, ``authority``
gateway             certificate and node key belong together; limits    ``gateway``
Flower              the caller holds a registered node key              SuperLink
update gate         made for this run, round and node; once; sane       ``updates``
robust rule         what the values say                                 ``helpers.federated.robust``
==================  ==================================================  ========================

Names load when they are used: importing this package loads neither Flower nor ``cryptography``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.federated.deployment.authority import CertificateAuthority, Identity, Issued
    from helpers.federated.deployment.consortium import Consortium
    from helpers.federated.deployment.dense_task import DenseTask
    from helpers.federated.deployment.errors import DeploymentError, RejectedUpdate
    from helpers.federated.deployment.flower import FlowerEngine, InProcessGrid, run_flower
    from helpers.federated.deployment.founding import Settings
    from helpers.federated.deployment.hospitals import Hospitals, hospital_data
    from helpers.federated.deployment.numpy_training import train_locally
    from helpers.federated.deployment.reports import Status
    from helpers.federated.deployment.updates import Member, SignedUpdate, Ticket, UpdateGate
    from helpers.federated.deployment.wiretap import Wiretap

_HOMES = {
    "authority": ("CertificateAuthority", "Identity", "Issued"),
    "consortium": ("Consortium",),
    "dense_task": ("DenseTask",),
    "errors": ("DeploymentError", "RejectedUpdate"),
    "flower": ("FlowerEngine", "InProcessGrid", "run_flower"),
    "founding": ("Settings",),
    "hospitals": ("Hospitals", "hospital_data"),
    "numpy_training": ("train_locally",),
    "reports": ("Status",),
    "updates": ("Member", "SignedUpdate", "Ticket", "UpdateGate"),
    "wiretap": ("Wiretap",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CertificateAuthority",
    "Consortium",
    "DenseTask",
    "DeploymentError",
    "FlowerEngine",
    "Hospitals",
    "Identity",
    "InProcessGrid",
    "Issued",
    "Member",
    "RejectedUpdate",
    "Settings",
    "SignedUpdate",
    "Status",
    "Ticket",
    "UpdateGate",
    "Wiretap",
    "hospital_data",
    "run_flower",
    "train_locally",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
