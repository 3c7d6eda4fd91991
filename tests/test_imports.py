"""What a process is spared, and that nobody else misses it."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest

from helpers._imports import spare_jax


def test_tensorflow_lite_finds_no_jax_while_it_is_imported_and_others_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lite = ModuleType("tensorflow.lite.python.util")
    lite.__spec__ = ModuleSpec(lite.__name__, None)
    monkeypatch.setitem(sys.modules, lite.__name__, lite)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    spare_jax()
    lite.__spec__._initializing = True  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="spared"):
        importlib.import_module("jax")
    lite.__spec__._initializing = False  # type: ignore[attr-defined]
    assert find_spec("jax") is not None
