"""Hold back what native libraries print: it tells nothing, and a notebook would show it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

_STDERR = 2  # the file descriptor, whatever sys.stderr is


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what converters and runtimes print; what they raise still comes through.

    The native code prints past Python, so the file descriptor itself points elsewhere meanwhile.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow", "tf2onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    sys.stderr.flush()
    stderr = os.dup(_STDERR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            Path(os.devnull).open("wb") as nowhere,
        ):
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), _STDERR)
            yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
