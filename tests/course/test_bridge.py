from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# A notebook's shell, as far as cells and their outputs go, in a process of its own.
_NOTEBOOK = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from helpers.course.bridge import connect, disconnect

shell = InteractiveShell.instance()
shell.run_cell("import os")
connect(sys.executable)

def cell(code):
    with capture_output() as shown:
        result = shell.run_cell(code)
    pictures = [output.data for output in shown.outputs]
    return [shown.stdout, shown.stderr, pictures, result.success]

found = {
    "pid": cell("import os; print(os.getpid())"),
    "state": cell("x = 20\\nprint(x + 1)"),
    "value": cell("x + 2"),
    "display": cell("from IPython.display import HTML, display\\ndisplay(HTML('<b>x</b>'))"),
    "magic": cell("%who_ls int"),
    "error": cell("1 / 0"),
    "after": cell("print(x)"),
    "setup": cell("colab = 'colab.setup('; print(os.getpid())"),
}
disconnect(shell)
found["back"] = cell("print(os.getpid())")
print(json.dumps([os.getpid(), found]))
"""


def test_cells_run_in_the_other_kernel_and_their_outputs_appear_here(tmp_path: Path) -> None:
    env = os.environ | {"JUPYTER_DATA_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", _NOTEBOOK], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    here, found = json.loads(done.stdout.splitlines()[-1])
    assert int(found["pid"][0]) != here
    assert found["state"][0] == "21\n"
    assert found["value"][2][0]["text/plain"] == "22"
    assert found["display"][2][0]["text/html"] == "<b>x</b>"
    assert "'x'" in found["magic"][2][0]["text/plain"]
    assert "ZeroDivisionError: division by zero" in "".join(map(str, found["error"][:2]))
    assert found["error"][3] is False
    assert found["after"][0] == "20\n"
    assert int(found["setup"][0]) == here
    assert int(found["back"][0]) == here
