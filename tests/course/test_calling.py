from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.calling import call
from helpers.course.tasks import Reply


def loop_forever(x: int) -> None:
    while True:
        pass


def sleep_forever(x: int) -> None:
    time.sleep(1000)


def swallow_exceptions(x: int) -> None:
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            x += 1


def swallow_everything(x: int) -> None:
    while True:
        try:
            x += 1
        except:  # noqa: E722
            x += 1


@pytest.mark.parametrize(
    "function", [loop_forever, sleep_forever, swallow_exceptions, swallow_everything]
)
def test_a_function_that_never_returns_is_ended(function: Callable[..., Any]) -> None:
    started = time.monotonic()
    reply = call(function, (1,), 0.2)
    assert time.monotonic() - started < 5
    assert reply.status == "failed"
    assert "0.2 s" in reply.message


def test_the_clock_is_off_after_a_call() -> None:
    before = signal.getsignal(signal.SIGALRM)
    call(loop_forever, (1,), 0.1)
    call(abs, (1,), 0.1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_call_within_a_call_leaves_the_outer_limit_in_force() -> None:
    def outer(x: int) -> None:
        call(loop_forever, (1,), 0.1)
        loop_forever(x)

    started = time.monotonic()
    assert "0.3 s" in call(outer, (1,), 0.3).message
    assert time.monotonic() - started < 5


def test_outside_the_main_thread_a_call_still_works() -> None:
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(call(abs, (-1,), 0.1)))
    thread.start()
    thread.join()
    assert replies == [Reply("returned", 1)]


def not_implemented(x: int) -> None:
    raise NotImplementedError


def ellipsis(x: int) -> Any:
    return ...


@pytest.mark.parametrize("function", [not_implemented, ellipsis])
def test_a_stub_is_not_an_attempt(function: Callable[..., Any]) -> None:
    assert call(function, (1,), 1).status == "not attempted"


def divide(x: int) -> float:
    return x / 0


def leave(x: int) -> None:
    sys.exit(3)


def interrupt(x: int) -> None:
    raise KeyboardInterrupt


def recurse(x: int) -> int:
    return recurse(x)


def unprintable(x: int) -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError

    raise SilentError


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (divide, "ZeroDivisionError: division by zero"),
        (divide, "return x / 0"),
        (leave, "SystemExit: 3"),
        (interrupt, "KeyboardInterrupt"),
        (recurse, "RecursionError"),
        (unprintable, "cannot be shown"),
    ],
)
def test_an_exception_is_told_with_its_last_line(function: Callable[..., Any], said: str) -> None:
    reply = call(function, (1,), 5)
    assert reply.status == "failed"
    assert said in reply.message


def test_a_wrong_signature_is_told_apart_from_an_error_inside() -> None:
    reply = call(lambda a, b: a, (1,), 1)
    assert reply.message.startswith("it is called with 1 argument, but it is defined as (a, b)")


def test_a_flood_of_output_is_kept_short_and_off_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def flood(x: int) -> int:
        for _ in range(20_000):
            print("x" * 100)
        raise ValueError("drowned")

    reply = call(flood, (1,), 10)
    assert len(reply.message) < 3000
    assert "drowned" in reply.message
    assert capsys.readouterr().out == ""


def test_a_result_that_is_not_plain_data_is_told_as_such() -> None:
    reply = call(lambda x: {x}, (1,), 1)
    assert reply.status == "failed"
    assert "a set; return a list" in reply.message


def shift(x: np.ndarray) -> None:
    x += 1


def forget(x: list[Any]) -> None:
    x.pop()


def smuggle(x: dict[str, Any]) -> None:
    x["a"] = object()


def widen(x: np.ndarray) -> None:
    x.shape = (1, 2)


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (shift, np.zeros(2)),
        (forget, [1, [2]]),
        (smuggle, {"a": 1}),
        (widen, np.zeros(2)),
    ],
)
def test_the_reply_says_which_arguments_were_changed(
    function: Callable[..., Any], argument: Any
) -> None:
    reply = call(lambda first, second: function(second), (1, argument), 1)
    assert (reply.status, reply.changed) == ("returned", (1,))


def test_an_argument_that_is_only_read_is_unchanged_even_with_nan() -> None:
    args = (np.array([np.nan, 1.0]), [float("nan"), (1, "a")], {"a": None})
    assert call(lambda *given: 1, args, 1).changed == ()


def test_a_stub_with_nothing_of_the_learner_s_gets_no_advice() -> None:
    assert call(not_implemented, (1,), 1).message == ""


def code_after_the_stub(x: int) -> int:
    """Double it."""
    raise NotImplementedError
    return 2 * x


def test_code_written_below_the_stub_is_noticed() -> None:
    assert "delete that line" in call(code_after_the_stub, (1,), 1).message
