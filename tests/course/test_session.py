from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from helpers.course import Lab, checks
from helpers.course.compare import close
from helpers.course.tasks import Case, FunctionTask, LabSpec, Memo, ValueTask
from helpers.errors import CourseError


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The reference of the task below."""
    return a + b


SPEC = LabSpec(
    "sums",
    1,
    "Sums",
    10,
    tasks=(
        FunctionTask(
            "add", "sum of two vectors", 2, add,
            lambda rng: [Case((rng.normal(size=3), rng.normal(size=3)), "two vectors")],
            close(1e-6, 1e-9), hint="element by element", time_limit=0.3,
        ),
        ValueTask("bytes", "bytes sent", 1, lambda seed, profile: 407_120, hint="float32"),
    ),
    memos=(Memo("memo", "Decision", ("names a number",)),),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def lab(folder: Path) -> Lab:
    return Lab("sums", seed=1, profile="fast", spec=SPEC, folder=folder)


Printed = pytest.CaptureFixture[str]


def loop(a: Any, b: Any) -> Any:
    while True:
        time.sleep(0.001)


def flood(a: Any, b: Any) -> Any:
    while True:
        print("no" * 1000)


def mutate(a: Any, b: Any) -> Any:
    a += b
    b[:] = 0
    return np.zeros(3)


def explode(a: Any, b: Any) -> Any:
    return a / undefined_name  # type: ignore[name-defined] # noqa: F821


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "wrong shape": (lambda a, b: (a + b)[:2], "an array float64 (3,) was expected"),
    "wrong value": (lambda a, b: a - b, "largest difference"),
    "a list": (lambda a, b: list(a + b), "a list of 3"),
    "NaN": (lambda a, b: a * np.nan, "NaN at [0]"),
    "a string": (lambda a, b: "a + b", "a string"),
    "None": (lambda a, b: None, "None"),
    "an object": (lambda a, b: object(), "an object of type object"),
    "object dtype": (lambda a, b: np.array([object()] * 3), "dtype object"),
    "a masked array": (lambda a, b: np.ma.masked_array(a + b), "MaskedArray"),
    "an exception": (explode, "NameError"),
    "never returns": (loop, "had not returned after 0.3 s"),
    "a flood": (flood, "had not returned after 0.3 s"),
    "wrong signature": (lambda a: a, "it is called with 2 arguments"),
    "exit": (lambda a, b: exit(), "SystemExit"),
    "changes its inputs": (mutate, "largest difference"),
    "HTML": (lambda a, b: "<script>alert(1)</script>", "a string"),
}


@pytest.mark.parametrize(("function", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_explained_and_the_lab_goes_on(
    lab: Lab, function: Callable[..., Any], said: str, capsys: Printed
) -> None:
    stand_in = lab.task("add")(function)
    lab.check("add")
    shown = capsys.readouterr().out
    assert said in shown
    assert "hint: element by element" in shown
    assert len(shown) < 4000
    assert lab.verdicts["add"].points == 0
    np.testing.assert_array_equal(stand_in(np.ones(3), np.ones(3)), 2 * np.ones(3))
    assert "going on with" in capsys.readouterr().out


def test_a_right_answer_passes_and_is_the_one_used(lab: Lab, capsys: Printed) -> None:
    calls = []

    @lab.task("add")
    def mine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Mine."""
        calls.append(1)
        return b + a

    lab.check("add")
    assert "passed, 2 points" in capsys.readouterr().out
    checked = len(calls)
    mine(np.ones(3), np.ones(3))
    assert len(calls) == checked + 1
    assert mine.__doc__ == "Mine."
    assert capsys.readouterr().out == ""


def test_the_stand_in_checks_by_itself_before_its_first_use(lab: Lab, capsys: Printed) -> None:
    mine = lab.task("add")(lambda a, b: a + b)
    mine(np.ones(3), np.ones(3))
    assert lab.verdicts["add"].status == "passed"
    assert capsys.readouterr().out == ""


def test_the_reference_is_announced_once(lab: Lab, capsys: Printed) -> None:
    def stub(a: Any, b: Any) -> Any:
        raise NotImplementedError

    mine = lab.task("add")(stub)
    for _ in range(3):
        mine(np.ones(3), np.ones(3))
    assert capsys.readouterr().out.count("add is not attempted: going on with") == 1


def test_running_a_cell_again_judges_the_new_function(lab: Lab) -> None:
    lab.task("add")(lambda a, b: a - b)
    assert lab.verdicts["add"].status == "mismatch"
    lab.task("add")(lambda a, b: a + b)
    assert lab.verdicts["add"].status == "passed"


def test_a_passed_function_that_fails_on_other_input_does_not_stop_the_lab(
    lab: Lab, capsys: Printed
) -> None:
    def only_three(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        assert len(a) == 3
        return a + b

    mine = lab.task("add")(only_three)
    np.testing.assert_array_equal(mine(np.ones(4), np.ones(4)), 2 * np.ones(4))
    assert "passed its check, but on this input it raised AssertionError" in capsys.readouterr().out


def test_the_visible_cases_are_the_same_each_time_and_follow_the_seed() -> None:
    seen: list[np.ndarray] = []

    def record(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        seen.append(a.copy())
        return a + b

    for seed in (1, 1, 2):
        lab = Lab("sums", seed=seed, spec=SPEC)
        lab.task("add")(record)
        lab.check("add")
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


@pytest.mark.parametrize("value", [1, "x", None, float("nan"), np.zeros(2), object(), [1]])
def test_a_wrong_value_goes_on_with_the_reference_and_does_not_give_it_away(
    lab: Lab, value: Any, capsys: Printed
) -> None:
    assert lab.answer("bytes", value) == 407_120
    lab.check("bytes")
    shown = capsys.readouterr().out
    assert "hint: float32" in shown
    assert "407" not in shown


def test_a_right_value_is_the_one_used(lab: Lab, capsys: Printed) -> None:
    mine = np.int64(407_120)
    assert lab.answer("bytes", mine) is mine
    lab.check("bytes")
    assert "passed, 1 point" in capsys.readouterr().out


def test_an_unfilled_value_is_not_an_attempt(lab: Lab) -> None:
    assert lab.answer("bytes", ...) == 407_120
    assert lab.verdicts["bytes"].status == "not attempted"


@pytest.mark.parametrize("name", ["ad", "adds", "q99", "", None, 3, ["add"]])
def test_an_unknown_name_is_met_with_the_nearest_ones(lab: Lab, name: Any, capsys: Printed) -> None:
    lab.check(name)
    assert lab.answer(name, 5) == 5
    lab.memo(name, "text")
    function = lab.task(name)(add)
    assert function is add
    shown = capsys.readouterr().out
    assert shown.count("This lab has no") == 4
    if name in ("ad", "adds"):
        assert "Did you mean add?" in shown


def test_a_forgotten_name_is_met_the_same_way(lab: Lab, capsys: Printed) -> None:
    lab.check()
    lab.answer()
    lab.memo()
    lab.save()
    assert lab.task()(add) is add
    shown = capsys.readouterr().out
    assert shown.count("This lab has no") == 4
    assert "There are: add, bytes" in shown
    assert "is not a file name" in shown


def test_a_mistyped_key_is_shown_with_the_nearest_and_with_all(lab: Lab, capsys: Printed) -> None:
    known = ("H1", "H2", "unmet@in-time")
    right = {"H2": "part", "H1": "cause"}
    assert lab.entries("verdicts", right, known) == right
    assert lab.entries("verdicts", {}, known) == {}
    assert capsys.readouterr().out == ""
    given: dict[Any, str] = {**right, "H2 ": "dropped", "h1": "z", "unmet@intime": "x", 3: "y"}
    assert lab.entries("verdicts", given, known) == right
    shown = capsys.readouterr().out
    for part in (
        "verdicts is read here for H1, H2, unmet@in-time",
        "'H2 ' is left out; the nearest that is read is 'H2'",
        "'h1' is left out; the nearest that is read is 'H1'",
        "'unmet@intime' is left out; the nearest that is read is 'unmet@in-time'",
        "3 is left out",
    ):
        assert part in shown


@pytest.mark.parametrize("given", [..., None, ["H1"], {"H1"}, "H1"])
def test_what_is_no_dict_is_left_unread(lab: Lab, given: Any, capsys: Printed) -> None:
    assert lab.entries("verdicts", given, ["H1"]) == {}
    assert "verdicts is no dict but" in capsys.readouterr().out


def test_mixing_up_functions_and_values_is_explained(lab: Lab, capsys: Printed) -> None:
    assert lab.answer("add", 5) == 5
    assert lab.task("bytes")(add) is add
    assert lab.task(add) is add  # type: ignore[arg-type]
    lab.task("add")(5)  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    for part in ("@lab.task('add'", "lab.answer('bytes'", '@lab.task("..."', "above a function"):
        assert part in shown


def test_checking_before_the_cell_was_run_says_so(lab: Lab, capsys: Printed) -> None:
    lab.check("add")
    assert "Run the cell that defines add first." in capsys.readouterr().out


@pytest.mark.parametrize("choice", [..., None, "z", 3, ["a"], "<b>"])
def test_a_prediction_that_is_none_is_asked_for_again(
    lab: Lab, choice: Any, capsys: Printed
) -> None:
    lab.predict("guess", choice=choice, options={"a": "less", "b": "more"})
    assert "a: less" in capsys.readouterr().out


@pytest.mark.parametrize("text", [..., "", "  ", None, 3, b"x"])
def test_an_unwritten_memo_shows_its_rubric(lab: Lab, text: Any, capsys: Printed) -> None:
    lab.memo("memo", text)
    shown = capsys.readouterr().out
    assert "not written" in shown
    assert "names a number" in shown


@pytest.mark.parametrize(("seed", "profile"), [("1", "fast"), (-1, "fast"), (0, "quick"), (0, 3)])
def test_an_unusable_parameter_is_replaced_and_named(
    seed: Any, profile: Any, capsys: Printed
) -> None:
    lab = Lab("sums", seed=seed, profile=profile, spec=SPEC)
    assert lab.seed == 0
    assert lab.profile in ("fast", "full")
    assert "must be" in capsys.readouterr().out


def test_an_unknown_lab_is_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "names", lambda: ["train-across-devices"])
    with pytest.raises(CourseError, match="did you mean 'train-across-devices'"):
        Lab("train-across-device")


def test_the_report_sums_up_points_predictions_and_memos(lab: Lab, capsys: Printed) -> None:
    lab.task("add")(add)
    lab.predict("guess", choice="a", options={"a": "less"})
    lab.memo("memo", "three words here")
    lab.report()
    shown = capsys.readouterr().out
    assert "Sums: 2 of 3 points" in shown
    assert "prediction guess: a" in shown
    assert "Decision: 3 words" in shown
    assert "bytes sent: not attempted, 0 of 1 point" in shown


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(CourseError, match="two tasks or memos"):
        LabSpec("x", 1, "X", 1, tasks=(SPEC.tasks[0], SPEC.tasks[0]))


@pytest.mark.parametrize(
    ("name", "value", "suffix"),
    [
        ("model", [np.zeros(2), np.ones(3)], ".npz"),
        ("model", {"w": np.zeros(2)}, ".npz"),
        ("grid", np.zeros((2, 2)), ".npy"),
        ("card", {"accuracy": 0.9, "by": [1, 2]}, ".json"),
        ("memo.md", "text", ""),
        ("model.tflite", b"TFL3", ""),
        ("model.npz", {"w": np.zeros(2)}, ""),
    ],
)
def test_an_artefact_is_kept(lab: Lab, folder: Path, name: str, value: Any, suffix: str) -> None:
    lab.save(name, value)
    (path,) = folder.iterdir()
    assert path.name == name + suffix
    if path.suffix in (".npz", ".npy"):
        np.load(path, allow_pickle=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("../x", "a"), ("", "a"), ("a/b", "a"), (None, "a"), ("x", object()), ("x", {"a": 1j})],
)
def test_an_artefact_that_cannot_be_kept_is_explained(
    lab: Lab, folder: Path, name: Any, value: Any, capsys: Printed
) -> None:
    lab.save(name, value)
    assert "Not saved" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_where_the_folder_cannot_be_written_another_is_used(
    tmp_path: Path, capsys: Printed
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    lab = Lab("sums", spec=SPEC, folder=blocked / "kept")
    lab.save("a.txt", "text")
    shown = capsys.readouterr().out
    assert "cannot be written; artefacts of this run go to" in shown
    (path,) = re.findall(r"Saved (.*) \(4 bytes\)", shown)
    assert Path(path).read_text() == "text"


def test_saving_gives_back_nothing_that_a_notebook_would_show(lab: Lab) -> None:
    result: Any = getattr(lab, "save")("a.txt", "text")  # noqa: B009 - it is typed as None
    assert result is None


def test_a_function_that_only_calls_itself_earns_nothing(lab: Lab, capsys: Printed) -> None:
    names: dict[str, Callable[..., Any]] = {}
    names["add"] = lab.task("add")(lambda a, b: names["add"](a, b))
    lab.check("add")
    assert "RecursionError" in capsys.readouterr().out
    assert (lab.verdicts["add"].status, lab.verdicts["add"].points) == ("error", 0)
    np.testing.assert_array_equal(names["add"](np.ones(3), np.ones(3)), 2 * np.ones(3))


def test_an_earlier_stand_in_of_the_same_task_lends_no_reference_either(lab: Lab) -> None:
    earlier = lab.task("add")(lambda a, b: a - b)
    earlier(np.ones(3), np.ones(3))
    lab.task("add")(lambda a, b: earlier(a, b))
    assert lab.verdicts["add"].status == "error"


def test_an_honest_recursive_function_passes(lab: Lab) -> None:
    @lab.task("add")
    def mine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if len(a) == 1:
            return a + b
        return np.concatenate([a[:1] + b[:1], mine(a[1:], b[1:])])

    assert lab.verdicts["add"].status == "passed"
    np.testing.assert_array_equal(mine(np.ones(5), np.ones(5)), 2 * np.ones(5))


def test_a_function_may_rest_on_another_task_that_is_not_solved(folder: Path) -> None:
    twice = FunctionTask(
        "twice", "the double", 1, lambda a: 2 * a, lambda rng: [Case((rng.normal(size=3),))]
    )
    spec = dataclasses.replace(SPEC, tasks=(*SPEC.tasks, twice))
    lab = Lab("sums", spec=spec, folder=folder)
    sums = lab.task("add")(lambda a, b: a - b)
    lab.task("twice")(lambda a: sums(a, a))
    assert (lab.verdicts["twice"].status, lab.verdicts["add"].status) == ("passed", "mismatch")


def test_changing_an_argument_in_place_is_named_even_if_the_result_is_right(
    lab: Lab, capsys: Printed
) -> None:
    def in_place(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        right += left
        return right

    lab.task("add")(in_place)
    lab.check("add")
    shown = capsys.readouterr().out
    assert "it changes its argument `right` in place; work on a copy" in shown
    assert "largest difference" not in shown
    assert lab.verdicts["add"].status == "mismatch"


def test_the_call_is_shown_under_the_learner_s_own_name(lab: Lab, capsys: Printed) -> None:
    def sum_of_two(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a - b

    lab.task("add")(sum_of_two)
    lab.check("add")
    assert "called: sum_of_two(float64 (3,)" in capsys.readouterr().out


def test_a_stub_left_below_real_code_is_pointed_out(lab: Lab, capsys: Printed) -> None:
    @lab.task("add")
    def mine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Mine."""
        a = a + b
        raise NotImplementedError

    lab.check("add")
    lab.report()
    shown = capsys.readouterr().out
    assert shown.count("it still reaches `raise NotImplementedError`: delete that line") == 2


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """An IPython shell of this process, as in a notebook's kernel."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


def test_a_function_that_lost_its_decorator_is_not_attempted(
    lab: Lab, notebook: InteractiveShell, capsys: Printed
) -> None:
    def shown(cell: str) -> str:
        notebook.run_cell(cell).raise_error()
        return capsys.readouterr().out

    notebook.user_ns["lab"] = lab
    solved = "def sum_of_two(a, b):\n    return a + b\n"
    assert "passed" in shown(f'@lab.task("add")\n{solved}lab.check("add")')
    said = "`sum_of_two` in this notebook is no longer the function registered for add"
    detached = shown(f'{solved}lab.check("add")')
    assert said in detached
    assert 'put @lab.task("add") above it' in detached
    report = shown("lab.report()")
    assert said in report
    assert "0 of 3 points" in report
    assert "passed" in shown(f'@lab.task("add")\n{solved}lab.check("add")')


def test_a_memo_of_another_length_is_recorded_and_the_learner_is_told(
    folder: Path, capsys: Printed
) -> None:
    spec = dataclasses.replace(SPEC, memos=(Memo("memo", "Decision", ("a number",), (3, 5)),))
    lab = Lab("sums", spec=spec, folder=folder)
    lab.memo("memo", "too short")
    lab.report()
    assert capsys.readouterr().out.count("2 words; asked for: 3 to 5") == 2
    lab.memo("memo", "three words here")
    assert "asked for" not in capsys.readouterr().out


def test_a_memo_without_a_text_shows_the_rubric_and_forgets_nothing(
    lab: Lab, capsys: Printed
) -> None:
    lab.memo("memo", "three words here")
    lab.memo("memo")
    lab.report()
    shown = capsys.readouterr().out
    assert shown.count("names a number") == 2
    assert "Decision: 3 words" in shown
