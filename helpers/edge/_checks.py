"""Checks of settings, made before any work starts."""

from __future__ import annotations

from helpers._checks import Requirements
from helpers.errors import EdgeError

_require = Requirements(EdgeError)  # each raises EdgeError
require_whole = _require.whole
require_not_negative = _require.not_negative
require_choice = _require.choice
