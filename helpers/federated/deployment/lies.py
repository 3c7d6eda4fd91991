"""What attackers can try on a deployment: the lies of a member, and a stranger's knock.

Loads no Flower: a test or a notebook plans the attack here, and the node that lies runs
:mod:`~helpers.federated.deployment.hostile` in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import grpc

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
_SECONDS = 20.0


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


def knock(
    address: str,
    root: str | Path,
    folder: str | Path | None = None,
    node_key: str | Path | None = None,
) -> str:
    """Ask the gateway for work, and return how it answers.

    Parameters
    ----------
    address
        The gateway, ``host:port``.
    root
        Root certificate by which to recognise the server (PEM).
    folder
        Folder with ``tls.pem`` and ``tls.key`` to show; None, or an empty one, shows none.
    node_key
        Public node key to claim (PEM); None claims none.

    Returns
    -------
    str
        gRPC's status and what it says, such as ``"UNAUTHENTICATED: certificate revoked"``; ``"OK"``
        if there was no refusal.
    """
    files = [Path(folder) / name for name in ("tls.key", "tls.pem")] if folder else []
    key, certificate = [f.read_bytes() if f.exists() else None for f in files] or (None, None)
    credentials = grpc.ssl_channel_credentials(Path(root).read_bytes(), key, certificate)
    metadata = [("flwr-public-key-bin", Path(node_key).read_bytes())] if node_key else []
    with grpc.secure_channel(address, credentials) as channel:
        try:
            channel.unary_unary("/flwr.proto.Fleet/PullMessages")(
                b"", metadata=metadata, timeout=_SECONDS
            )
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "OK"
