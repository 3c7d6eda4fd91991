from __future__ import annotations

from pathlib import Path

import pytest

from helpers.course.source import (
    identify,
    read,
    region_lines,
    solution_text,
    student_text,
)
from helpers.errors import CourseError


def student(tmp_path: Path, code: str, kind: str = "") -> str:
    """Return what a learner gets of one cell."""
    path = tmp_path / "01_a.py"
    path.write_text(f"# %%{kind}\n{code}")
    return student_text(read(path).cells[0])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            """\
def f(x):
    '''Doc.'''
    # BEGIN SOLUTION
    y = x + 1
    return y
    # END SOLUTION
""",
            """\
def f(x):
    '''Doc.'''
    raise NotImplementedError
""",
            id="the body of a function is not implemented",
        ),
        pytest.param(
            """\
class A:
    def f(self, x):
        for i in x:
            # BEGIN SOLUTION
            print(i)
            # END SOLUTION
        return x
""",
            """\
class A:
    def f(self, x):
        for i in x:
            raise NotImplementedError
        return x
""",
            id="nor is a part of one, at its own depth",
        ),
        pytest.param(
            """\
y = lab.answer("q",
    # BEGIN SOLUTION
    2 * (3 +
         4)
    # END SOLUTION
)
""",
            """\
y = lab.answer("q",
    ...
)
""",
            id="an argument becomes an ellipsis",
        ),
        pytest.param(
            """\
y = lab.answer("q", value=
    # BEGIN SOLUTION
    2,  # (
    # END SOLUTION
    note="a",
)
""",
            """\
y = lab.answer("q", value=
    ...,
    note="a",
)
""",
            id="and keeps the comma that ends it",
        ),
        pytest.param(
            """\
decided = {
    # such as "rule": "day",
    # BEGIN SOLUTION
    "evasion": "Monday",  # a remark
    **dict.fromkeys(["tampering", "spoofing"], "Friday"),
    # END SOLUTION
}
""",
            """\
decided = {
    # such as "rule": "day",
}
""",
            id="the entries of a dict leave it empty, since with an ellipsis it would be a set",
        ),
        pytest.param(
            """\
chosen = {
    # BEGIN SOLUTION
    "evasion", "tampering"
    # END SOLUTION
}
""",
            """\
chosen = {
    ...
}
""",
            id="those of a set do not",
        ),
        pytest.param(
            """\
def f(x):
    return g(
        # BEGIN SOLUTION
        x
        # END SOLUTION
    )
""",
            """\
def f(x):
    return g(
        ...
    )
""",
            id="also inside a function",
        ),
        pytest.param(
            """\
# BEGIN SOLUTION
a = 1
b = "("
# END SOLUTION
""",
            "...  # your code here\n",
            id="statements at top level become a placeholder",
        ),
        pytest.param(
            """\
if True:
    # BEGIN SOLUTION
    a = 1
    # END SOLUTION
def f():
    pass
""",
            """\
if True:
    ...  # your code here
def f():
    pass
""",
            id="also inside a block",
        ),
        pytest.param(
            """\
# BEGIN SOLUTION
def f(x):
    return x
# END SOLUTION
""",
            "...  # your code here\n",
            id="a whole function at top level too",
        ),
        pytest.param(
            """\
a = 1
# BEGIN HIDDEN
assert a == 1
# END HIDDEN
b = 2
""",
            """\
a = 1
b = 2
""",
            id="what is hidden is gone",
        ),
        pytest.param(
            """\
x = 1  # begin with a solution of an easier case
text = '''
the BEGIN SOLUTION of it
'''
""",
            """\
x = 1  # begin with a solution of an easier case
text = '''
the BEGIN SOLUTION of it
'''
""",
            id="prose about solutions is left alone",
        ),
    ],
)
def test_a_learner_gets(tmp_path: Path, code: str, expected: str) -> None:
    assert student(tmp_path, code) == expected.strip("\n")


def test_a_markdown_solution_becomes_a_placeholder(tmp_path: Path) -> None:
    code = "# ## Why\n# <!-- BEGIN SOLUTION -->\n# Because.\n# <!-- END SOLUTION -->\n# End\n"
    assert student(tmp_path, code, " [markdown]") == "## Why\n*Your answer here.*\nEnd"


def test_the_solution_keeps_everything_but_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "01_a.py"
    path.write_text("# %%\na = 1\n# BEGIN HIDDEN\nif a:\n    assert a == 1\n# END HIDDEN\n")
    cell = read(path).cells[0]
    assert solution_text(cell) == "a = 1\nif a:\n    assert a == 1"
    assert region_lines(cell) == ["if a:", "    assert a == 1"]


@pytest.mark.parametrize(
    ("code", "line", "reason"),
    [
        ("a = 1\n# BEGIN SOLUTION\nb = 2\n", 3, "not closed"),
        ("a = 1\n# END SOLUTION\n", 3, "without BEGIN"),
        ("# BEGIN SOLUTION\na = 1\n# END HIDDEN\n", 4, "without BEGIN HIDDEN"),
        ("# BEGIN SOLUTION\n# BEGIN HIDDEN\na = 1\n# END HIDDEN\n# END SOLUTION\n", 3, "inside"),
        ("# BEGIN SOLUTION\na = 1\n# %%\n# END SOLUTION\n", 2, "not closed"),
        ("### BEGIN SOLUTION\na = 1\n### END SOLUTION\n", 2, "looks like a marker"),
        ("# begin solution\na = 1\n# end solution\n", 2, "looks like a marker"),
        ("a = 1  # BEGIN SOLUTION\n# END SOLUTION\n", 2, "looks like a marker"),
        ("s = '''\n# BEGIN SOLUTION\n'''\n# END SOLUTION\n", 3, "looks like a marker"),
        ("<!-- BEGIN SOLUTION -->\n", 2, "looks like a marker"),
        ("# BEGIN SOLUTION\n\n# END SOLUTION\n", 4, "is empty"),
        ("a = 1\nb = = 2\n", 3, "cell 1 is not valid Python"),
        ("if a:\n    # BEGIN HIDDEN\n    b = 1\n    # END HIDDEN\n", 2, "once its solution is out"),
        (
            "def f():\n    # BEGIN SOLUTION\n    if a:\n    # END SOLUTION\n        b = 1\n",
            2,
            "valid",
        ),
        ("%matplotlib inline\n", 2, "not valid Python"),
    ],
)
def test_a_malformed_source_is_told_with_its_line(
    tmp_path: Path, code: str, line: int, reason: str
) -> None:
    path = tmp_path / "01_a.py"
    path.write_text(f"# %%\n{code}")
    with pytest.raises(CourseError, match=reason) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{line}:")


def test_a_marker_in_a_markdown_cell_of_a_later_cell_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "01_a.py"
    path.write_text(
        "# %%\n# BEGIN HIDDEN\na = 1\n# END HIDDEN\n\n# %% [markdown]\n# T\n# <!-- END HIDDEN -->\n"
    )
    with pytest.raises(CourseError, match=f"{path}:8: END HIDDEN without"):
        read(path)


def test_number_and_name_come_from_the_file_name(tmp_path: Path) -> None:
    assert identify(tmp_path / "07_train_across_devices.py") == (7, "train-across-devices")
    for name in ("7_a.py", "lab.py", "07-a.py", "07_A.py"):
        with pytest.raises(CourseError, match="NN_name"):
            identify(tmp_path / name)


def test_a_file_that_cannot_be_parsed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "01_a.py"
    for content in (b"\xff\xfe", b"# ---\n# jupyter:\n#   kernelspec: {name: x}\n# ---\n"):
        path.write_bytes(content)
        with pytest.raises(CourseError, match="01_a"):
            read(path)
    path.unlink()
    with pytest.raises(CourseError, match="cannot be read"):
        read(path)
