"""What goes wrong in a deployment."""

from helpers.errors import EdgesecError


class DeploymentError(EdgesecError):
    """A deployment, its keys or its processes are not as they must be."""


class RejectedUpdate(EdgesecError):  # noqa: N818 - an outcome of a check, as the log names it
    """The server does not count an update.

    Attributes
    ----------
    reason
        One word for the log, such as ``"replayed"``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
