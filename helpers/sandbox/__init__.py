"""Run an untrusted program so that it cannot read, reach, exhaust or outlive anything.

:class:`~helpers.sandbox.process.Sandbox` starts a program and exchanges lines with it,
:func:`~helpers.sandbox.process.run` runs one to its end. Linux on x86-64, standard library only.
``helpers.sandbox.probes`` tries to break each layer, and says which of them a machine can put up.
"""

from helpers.sandbox.layers import Layers
from helpers.sandbox.limits import Limits
from helpers.sandbox.process import Finished, Sandbox, run

__all__ = ["Finished", "Layers", "Limits", "Sandbox", "run"]
