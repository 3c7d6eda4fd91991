"""Byzantine behaviour: clients that send, or train on, something else than they should.

Attacks on updates (:class:`Adversary`) act inside a round, see the honest updates and may choose
their strength against the server's rule (:class:`Optimised`). Poison acts on a client's data before
training (:func:`poison_clients`). The two combine: a backdoor by model replacement is both.
"""

from helpers.federated.byzantine.adversary import Adversary, AttackView, UpdateAttack
from helpers.federated.byzantine.data import (
    Backdoor,
    LabelFlip,
    LabelNoise,
    Poison,
    SensorDrift,
    Trigger,
    poison_clients,
)
from helpers.federated.byzantine.strength import Optimised
from helpers.federated.byzantine.updates import (
    ALittleIsEnough,
    FreeRider,
    InnerProductManipulation,
    Mimic,
    MinMax,
    MinSum,
    ModelReplacement,
    SignFlip,
    alie_z,
    as_trained,
)

__all__ = [
    "ALittleIsEnough",
    "Adversary",
    "AttackView",
    "Backdoor",
    "FreeRider",
    "InnerProductManipulation",
    "LabelFlip",
    "LabelNoise",
    "Mimic",
    "MinMax",
    "MinSum",
    "ModelReplacement",
    "Optimised",
    "Poison",
    "SensorDrift",
    "SignFlip",
    "Trigger",
    "UpdateAttack",
    "alie_z",
    "as_trained",
    "poison_clients",
]
