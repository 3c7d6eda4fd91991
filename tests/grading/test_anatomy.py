"""What a notebook holds is found by its text, and the cells that an answer rests on."""

from __future__ import annotations

import json

import pytest

from helpers.course import catalogue, generate, source
from helpers.course.grading.anatomy import code_cells, definitions, dissect, without_idle_imports
from helpers.errors import CourseError
from tests.grading.conftest import ROOT


def test_tasks_values_checks_and_the_session_are_found_by_name() -> None:
    found = dissect(
        [
            "import helpers.data\nfrom helpers.course import Lab\nprofile, other = 'full', 1",
            "profile = 'fast'\nseed = 4",
            "session = Lab('tiny')",
            "@session.task('q1')\ndef mean(x):\n    return x",
            "y = session.answer('q2', 7)\nsession.check('q1')",
            "%matplotlib inline",
            "def (:",
        ]
    )
    assert found.labs == ("tiny",)
    assert found.functions == {"q1": "mean"}
    assert found.sources["q1"] == "def mean(x):\n    return x"
    assert found.sources["q2"] == "session.answer('q2', 7)"
    assert found.checks == ("q1",)
    assert found.imports == ("helpers.course:Lab", "helpers.data")
    assert (found.parameters, found.seed) == (1, 4)
    assert found.broken == (6,)


def test_the_cells_that_an_answer_rests_on() -> None:
    cells = [
        "import numpy as np",
        "from helpers.course import Lab",
        "profile = 'full'\nseed = 0",
        "lab = Lab('tiny')",
        "scale = {}",
        "scale['x'] = 2",
        "unused = np.ones(10**9)",
        "lab.check('q1')",
        "def helper(x):\n    unused = x\n    return later * unused",
        "@lab.task('q1')\ndef f(values):\n    return helper(values) * scale['x']",
        "later = 3",
        "for epoch in range(100): unused = unused + 1",
        "steps = []",
        "steps.append(1)",
        "answer = lab.answer('q2', len(steps))",
        "np.random.seed(answer)",
    ]
    assert dissect(cells).needed == (1, 2, 3, 4, 5, 8, 9, 10, 12, 13, 14)
    assert dissect(cells).alone == ()
    assert {0} == {*dissect([*cells, "lab.memo('memo', str(np.pi))"]).needed} - {
        *dissect(cells).needed,
        16,
    }
    assert dissect(["from numpy import *", "lab.answer('q', pi)"]).needed == (0, 1)


@pytest.mark.parametrize(
    ("body", "alone"),
    [
        ("np.sum(values)", True),
        ("a_name_that_no_cell_knows", True),
        ("table['x']", False),  # which another cell may have filled
        ("eval('table')", False),
    ],
)
def test_a_function_that_rests_on_no_other_cell(body: str, alone: bool) -> None:
    function = f"@lab.task('q1')\ndef f(values):\n    return {body}"
    cells = ["import numpy as np\ntable = {}", function]
    assert dissect(cells).alone == (("q1",) if alone else ())


def test_what_is_imported_and_not_used_is_left_out_and_no_line_moves() -> None:
    cells = {
        0: "from __future__ import annotations\nimport os, sys  # both\nfrom math import (\n"
        "    pi,\n    tau,\n)\nimport os.path; here = 1\nfrom json import *\nx = sys.path",
        3: "import numpy as np\nimport csv\ndef f(v):\n    import os\n    return np.sum(v)",
        4: "def (",
    }
    assert without_idle_imports(cells) == {
        0: "from __future__ import annotations\nimport sys\n\n\n\n\n"
        "import os.path; here = 1\nfrom json import *\nx = sys.path",
        3: "import numpy as np\n\ndef f(v):\n    import os\n    return np.sum(v)",
        4: "def (",
    }
    by_text = {**cells, 5: "eval('pi')"}
    assert without_idle_imports(by_text) == by_text


@pytest.mark.parametrize("lab", catalogue.files(ROOT), ids=lambda lab: lab.title)
def test_the_answers_of_the_labs_rest_on_few_of_their_cells(lab: catalogue.LabFiles) -> None:
    made = generate.notebook(source.read(lab.solution), ROOT)
    found = dissect(code_cells(generate.dumps(made).encode()))
    assert found.functions.keys() <= found.sources.keys()
    assert len(found.needed) < len(found.cells) / 2


def test_definitions_are_what_is_left_of_a_cell_that_cannot_be_run() -> None:
    cell = "import os\nx = 1\nwhile True: pass\nclass A: pass\ndef f(): return 1\nlab = Lab('a')"
    assert definitions(cell) == (
        "import os\nclass A:\n    pass\ndef f():\n    return 1\nlab = Lab('a')"
    )
    assert definitions("def (") == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "in its JSON"),
        (b"\xff\xfe", "in its JSON"),
        (b"[" * 100_000, "in its JSON"),
        (b"[]", "no list of cells"),
        (json.dumps({"cells": [{"cell_type": "code"}] * 2001}).encode(), "2001 code cells"),
    ],
)
def test_what_is_no_notebook_is_said_to_be_none(data: bytes, problem: str) -> None:
    with pytest.raises(CourseError, match=problem):
        code_cells(data)


def test_cells_of_any_shape_are_read_as_text() -> None:
    cells = [
        {"cell_type": "code", "source": ["a\n", 1, "b"]},
        {"cell_type": "code", "source": None},
        {"cell_type": "code"},
        {"cell_type": "markdown", "source": "no"},
        7,
    ]
    assert code_cells(json.dumps({"cells": cells}).encode()) == ["a\nb", "", ""]
