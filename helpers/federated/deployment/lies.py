"""The lies that a member can tell; what a stranger can try is in :mod:`.probes`.

Loads no Flower: a test or a notebook plans the lies here, and the node that lies runs
:mod:`~helpers.federated.deployment.hostile` in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from helpers.federated.deployment.errors import DeploymentError
from helpers.federated.deployment.layout import write_json

APP = "helpers.federated.deployment.hostile:make_app"
PLAN = "lies.json"
#: Each lie, and the reason for which the server must refuse it; None is not refused.
LIES: dict[str, str | None] = {
    "replay": "replayed",
    "not a number": "not finite",
    "another round": "wrong round",
    "oversized": "oversized",
    "garbage": "malformed",
    "crash": "error",
    "heavy weight": "wrong count",
    "flood": "no answer",
    "backwards": None,
}
#: How many times its own step a hospital takes in the other direction when it pulls backwards.
BACKWARDS = 40.0


def plan_lies(folder: str | Path, lies: Mapping[int, str]) -> None:
    """Tell a hostile hospital how to lie in which round; ``""`` is honest.

    Parameters
    ----------
    folder
        The hospital's folder.
    lies
        Names from :data:`LIES` by number of the round.

    Raises
    ------
    DeploymentError
        If there is no such lie.
    """
    if unknown := sorted(set(lies.values()) - LIES.keys() - {""}):
        raise DeploymentError(f"{unknown} are no lies; there are: {', '.join(LIES)}.")
    write_json(Path(folder) / PLAN, {str(number): lie for number, lie in lies.items()})
