"""Call a learner's function in this process: with a time limit, a lid on output, and no surprise.

Whatever the function does, the answer is a :class:`~helpers.course.tasks.Reply`. This protects a
learner's session from their own mistakes. It is no defence against a hostile notebook: grading
runs each submission in a process of its own.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import signal
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from helpers.course.tasks import Reply
from helpers.course.wire import WireError, plain

_PRINTED = 2000  # characters of a function's output that are kept
_OURS = (__file__, contextlib.__file__)


class OutOfTime(BaseException):
    """Raised in code that :func:`stop_after` interrupts.

    Not an Exception, so that a learner's ``except Exception`` lets it through.
    """


class _Lid(io.TextIOBase):
    """A text stream that keeps the first characters written to it and drops the rest."""

    def __init__(self) -> None:
        self.kept = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if len(self.kept) < _PRINTED:
            self.kept = (self.kept + text)[:_PRINTED]
        return len(text)


def call(function: Callable[..., Any], args: tuple[Any, ...], time_limit: float) -> Reply:
    """Call ``function(*args)`` and report what came of it.

    Parameters
    ----------
    function : callable
        The learner's.
    args : tuple
        Plain data that the function may change: give it a copy. The reply says what it changed.
    time_limit : float
        Seconds. Without effect outside the main thread, where no signal can interrupt.
    """
    mismatch = _signature_problem(function, args)
    if mismatch:
        return Reply("failed", message=mismatch)
    passed, printed = plain(args), _Lid()
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            stop_after(time_limit),
        ):
            value = function(*args)
            if value is ...:
                return Reply("not attempted")
            return Reply("returned", plain(value), changed=_changed(passed, args))
    except NotImplementedError:
        return Reply("not attempted", message=_leftover_stub(function))
    except WireError as error:
        return Reply("failed", message=_with_output(f"it returned {error}", printed))
    except OutOfTime:
        message = f"it had not returned after {time_limit:g} s: does a loop ever end?"
        return Reply("failed", message=_with_output(message, printed))
    except BaseException as error:  # SystemExit and KeyboardInterrupt must not end the session
        return Reply("failed", message=_with_output(last_line(error, function), printed))


def last_line(error: BaseException, function: Callable[..., Any]) -> str:
    """Say what was raised, and on which line of `function`, in the words of a traceback."""
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code and frame.filename == code.co_filename]
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown)"
    what = f"{type(error).__name__}: {text[:300]}".rstrip(": ")
    if not own:
        return f"it raised {what}"
    line = f": {own[-1].line}" if own[-1].line else ""
    return f"it raised {what}\n  in line {own[-1].lineno}{line}"


def _signature_problem(function: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*args)
    except TypeError as error:
        count = f"{len(args)} argument" + ("" if len(args) == 1 else "s")
        return f"it is called with {count}, but it is defined as {signature}: {error}"
    return None


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters that positional arguments go to, in order."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in positional)


def _changed(passed: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[int, ...]:
    pairs = zip(passed, args, strict=True)
    return tuple(number for number, pair in enumerate(pairs) if not _same(*pair))


def _same(before: Any, after: Any) -> bool:
    # `before` is plain data; `after` may by now hold anything, so no method of it is called
    # unless it is of the same plain type.
    if type(before) is not type(after):
        return False
    if isinstance(before, np.ndarray):
        alike = before.dtype == after.dtype and before.shape == after.shape
        return alike and before.tobytes() == after.tobytes()  # by bytes: NaN equals itself
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[k], after[k]) for k in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    return bool(before == after or (before != before and after != after))


def _leftover_stub(function: Callable[..., Any]) -> str:
    """Say so where a function has code of its own beside ``raise NotImplementedError``."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, ValueError, SyntaxError):  # no source, or not of one statement
        return ""
    if not isinstance(tree, ast.FunctionDef):
        return ""
    body = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    stubs = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and _is_stub(node)]
    own = [node for node in body if node not in stubs and not isinstance(node, ast.Pass)]
    if stubs and own:
        return "it still reaches `raise NotImplementedError`: delete that line"
    return ""


def _is_stub(node: ast.Raise) -> bool:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def _with_output(message: str, printed: _Lid) -> str:
    return f"{message}\nIt printed:\n{printed.kept}" if printed.kept.strip() else message


@contextlib.contextmanager
def stop_after(seconds: float) -> Iterator[None]:
    """Interrupt the enclosed code with :class:`OutOfTime`; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        # Only a learner's code is interrupted, never the lines here that stop the clock. The
        # clock rings on, so that a moment when nothing was raised is made up for.
        if frame is not None and frame.f_code.co_filename not in _OURS:
            raise OutOfTime

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    # It rings again every 50 ms: a bare `except:` in a loop may swallow it once.
    outer, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer:  # this call is inside another one: give it the rest of its time
            rest = max(outer - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
