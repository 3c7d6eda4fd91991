"""Play Colab: run solved labs as its runtime 2025.07 would, on this machine.

    python scripts/try_colab.py            all labs, fast
    python scripts/try_colab.py 1 4 --profile full

The environment, 6 GB in ``build/colab``, is made once: Python 3.11 with those packages of
``labs/colab-2025.07.txt`` that can be had as a wheel here, GPU libraries left out, and Colab's own
``google.colab`` of that month, whose kernel then runs the notebook. Each lab begins with its setup
cell, which installs into a copy of that environment, and after the restart it asks for, all cells
run again from the top. In the notebook only the folder ``/content`` and the profile are changed,
and git takes the course from this checkout's last commit. Needs uv and a network.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import click
from jupyter_client.manager import KernelManager

from helpers.course import address, catalogue, generate, source

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "colab"
CONTENT = FOLDER / "content"  # in place of Colab's /content
COURSE = FOLDER / "course.git"  # in place of the repository's address
COLABTOOLS = "git+https://github.com/googlecolab/colabtools@5867ca9"  # of 29 July 2025
GPU = re.compile(r"^(nvidia|cu|libcu|libraft|librmm|libkvikio|pylib|raft|rmm|jax-cuda|dask-cu)")
LIMIT = 1800.0  # seconds a cell may take


def make_runtime(folder: Path) -> None:
    """Make the runtime; leave out, step by step, the packages that have no wheel here."""
    python = folder / "bin" / "python"
    subprocess.run(["uv", "venv", "--clear", "--seed", "--python", "3.11", folder], check=True)
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    lines = (ROOT / "labs/colab-2025.07.txt").read_text("utf-8").splitlines()
    asked = [line for line in lines if "==" in line]
    wanted = [line for line in asked if not GPU.match(line)]
    while True:
        command = [*install, "--only-binary", ":all:", *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            break
        blamed = {name.lower() for name in re.findall(r"([\w.-]+)==\d", done.stderr)}
        left = [line for line in wanted if line.partition("==")[0].lower() not in blamed]
        if left == wanted:
            raise click.ClickException(done.stderr.strip()[-1000:])
        wanted = left
    subprocess.run([*install, COLABTOOLS], check=True)
    click.echo(f"{len(wanted)} of the runtime's {len(asked)} packages are there")
    (folder / ".complete").touch()


class Kernel:
    """A kernel of Colab, and what it answers."""

    def __init__(self, python: Path) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL", "PYTHON"))}
        environment = inherited | {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{COURSE}.insteadOf",
            "GIT_CONFIG_VALUE_0": address.repository(ROOT).url,
        }
        self._manager = KernelManager(kernel_name="python3")
        assert self._manager.kernel_spec is not None
        self._manager.kernel_spec.argv = [
            *(str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"),
            "--IPKernelApp.kernel_class=google.colab._kernel.Kernel",
        ]
        self._manager.start_kernel(env=environment, cwd=CONTENT)
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(120)

    @property
    def lives(self) -> bool:
        """Whether it still runs."""
        return bool(self._manager.is_alive())

    def run(self, code: str) -> tuple[bool, str]:
        """Run a cell; return whether it passed, and its text."""
        shown: list[str] = []
        passed, asked, deadline = True, self._client.execute(code), time.monotonic() + LIMIT
        while self.lives and time.monotonic() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                passed = False
                shown.append(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return passed, "".join(shown)
            shown.append(content.get("text") or content.get("data", {}).get("text/plain", ""))
        return False, f"{''.join(shown)}\nthe kernel ended, or {LIMIT:.0f} s passed"

    def stop(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def try_lab(lab: catalogue.LabFiles, python: Path, profile: str) -> str:
    """Run a solved lab from its setup cell to its end; return what came of it."""
    made = generate.notebook(source.read(lab.solution), ROOT, solved=True)
    codes = [cell.source for cell in made.cells if cell.cell_type == "code"]
    codes = [
        code.replace('"/content/', f'"{CONTENT}/').replace('"full"', f'"{profile}"', 1)
        if code.startswith(("# In Colab only", "profile ="))
        else code
        for code in codes
    ]
    kernel, restarts = Kernel(python), 0
    try:
        _, text = kernel.run(codes[0])
        time.sleep(3)
        if "Restarting the kernel" in text:
            kernel.stop()
            kernel, restarts = Kernel(python), 1
        for number, code in enumerate(codes, start=1):
            passed, text = kernel.run(code)
            if not passed:
                return f"code cell {number} of {len(codes)} failed: {text[-600:]}"
        _, text = kernel.run("lab.report()")
    finally:
        kernel.stop()
    points = re.search(r"\d+ of \d+ points", text)
    return f"{len(codes)} cells, restarts {restarts}, {points[0] if points else 'no points'}"


@click.command()
@click.argument("labs", nargs=-1)
@click.option("--profile", type=click.Choice(["fast", "full"]), default="fast", show_default=True)
def main(labs: tuple[str, ...], profile: str) -> None:
    """Run LABS, or all, as Colab's runtime 2025.07 would."""
    if not (FOLDER / "env" / ".complete").is_file():
        make_runtime(FOLDER / "env")
    for path in (FOLDER / "live", CONTENT, COURSE):
        shutil.rmtree(path, ignore_errors=True)
    # By hard links: pip replaces files and never writes into one, and the runtime takes 6 GB.
    shutil.copytree(FOLDER / "env", FOLDER / "live", symlinks=True, copy_function=os.link)
    CONTENT.mkdir()
    branch = f"refs/heads/{address.repository(ROOT).branch}"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, COURSE], check=True)
    subprocess.run(["git", "-C", COURSE, "update-ref", branch, "HEAD"], check=True)
    for lab in catalogue.files(ROOT, labs):
        click.echo(f"{lab.title}: {try_lab(lab, FOLDER / 'live/bin/python', profile)}")


if __name__ == "__main__":
    main()
