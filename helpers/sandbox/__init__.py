"""Run an untrusted program so that it cannot read, reach, exhaust or outlive anything.

:class:`Sandbox` starts a program and exchanges lines with it; :func:`run` runs one to its end;
:func:`available` says which layers this machine can put up. Linux on x86-64, standard library
only. See :mod:`helpers.sandbox.probes` for what each layer is tested against.
"""

from helpers.sandbox.layers import Layers
from helpers.sandbox.limits import Limits
from helpers.sandbox.process import Finished, Sandbox, run

__all__ = ["Finished", "Layers", "Limits", "Sandbox", "run"]
