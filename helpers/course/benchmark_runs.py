"""Refresh what the benchmarks recorded: which records are out of date, and one run of those.

A record is out of date when its script, or code that the script measures, was changed after the
oldest of its results. The history of the repository says when that was, and whether more changed
than comments and docstrings; the versions of its peers, which stand in one, count.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from helpers.errors import CourseError

# What a script draws on, and does not measure.
_UNMEASURED = {
    Path("helpers/data"),
    Path("helpers/plots"),
    Path("helpers/errors.py"),
    Path("helpers/_files.py"),
    Path("benchmarks/common/figures.py"),
    Path("benchmarks/common/store.py"),
}
_PEER = re.compile(r"python3\.11 -m venv (build/peers/[\w-]+)")

Status = Literal["recorded", "passed", "up to date", "skipped", "failed"]
Command = Callable[[list[str]], int]


@dataclass(frozen=True)
class Benchmark:
    """A script and the state of what it recorded.

    Attributes
    ----------
    name
        Of the script, without suffix.
    measured
        When the oldest of its results was measured; None if there is none.
    changed
        What was changed since, such as ``"helpers/robustness"``, newest first.
    peer
        Folder of the environment in which its peers live; None if it needs none.
    install
        The commands that make that environment.
    """

    name: str
    measured: datetime | None
    changed: tuple[str, ...]
    peer: Path | None
    install: str

    @property
    def stale(self) -> bool:
        """Whether it has to be measured again."""
        return self.measured is None or bool(self.changed)

    @property
    def state(self) -> str:
        """What to say of it in a line."""
        notes = []
        if self.changed:
            shown, more = ", ".join(self.changed[:3]), len(self.changed) - 3
            notes.append(f"older than {shown}" + (f" and {more} more" if more > 0 else ""))
        if self.lacks_peer and self.peer is not None:
            notes.append(f"its peers are not installed in build/peers/{self.peer.name}")
        return "; ".join(notes) or ("up to date" if self.measured else "never measured")

    @property
    def lacks_peer(self) -> bool:
        """Whether an environment that it needs is not there."""
        return self.peer is not None and not self.peer.is_dir()


@dataclass(frozen=True)
class Outcome:
    """What came of one benchmark: how it ended, and why."""

    name: str
    status: Status
    reason: str = ""


def survey(root: Path, names: Sequence[str] = ()) -> list[Benchmark]:
    """Return the state of all benchmarks, or of those named, in the order of their names.

    Raises
    ------
    CourseError
        If a name is no benchmark, a record cannot be read, or `root` has no history.
    """
    scripts = {path.stem: path for path in sorted((root / "benchmarks").glob("*.py"))}
    if unknown := sorted(set(names) - scripts.keys()):
        raise CourseError(f"no benchmark {', '.join(unknown)}; there are {', '.join(scripts)}")
    return [_look(root, scripts[name]) for name in scripts if not names or name in names]


def _look(root: Path, script: Path) -> Benchmark:
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    record = root / "benchmarks" / "results" / f"{script.stem}.json"
    measured = _measured(record)
    times = {path: _last_change(root, path) for path in sources(root, script)}
    later = [path for path, time in times.items() if measured is not None and time > measured]
    if measured is not None and later:
        # From where the record came in: what lay on another branch then was not measured.
        written = _git(root, "log", "-1", "--format=%H", "--", str(record)) or "HEAD"
        before = _git(root, "rev-list", "-1", f"--before={measured.isoformat()}", written)
        later = [path for path in later if not before or _code_changed(root, before, path)]
    found = _PEER.search(text)
    return Benchmark(
        script.stem,
        measured,
        tuple(sorted(later, key=lambda path: times[path], reverse=True)),
        root / found[1] if found else None,
        "\n".join(line.strip() for line in _peer_block(text).splitlines()),
    )


def _peer_block(text: str) -> str:
    """Return the lines of a script that make the environment of its peers, with their versions."""
    found = _PEER.search(text)
    return text[found.start() :].partition("\n\n")[0] if found else ""


def sources(root: Path, script: Path) -> list[str]:
    """Return what a benchmark's result depends on: itself, its peers, and what it measures.

    Names are relative to `root`; a package counts with all that lies in it.
    """
    found: set[str] = set()
    waiting = [script.relative_to(root)]
    while waiting:  # a script's own helpers in benchmarks/ may do the measuring
        path = waiting.pop()
        if str(path) in found:
            continue
        found.add(str(path))
        if path.parts[0] == "benchmarks":
            text = (root / path).read_text(encoding="utf-8")
            waiting += filter(None, (_place(root, name) for name in _imported(ast.parse(text))))
            peers = (Path("benchmarks/peers", name) for name in re.findall(r'"(\w+\.py)"', text))
            waiting += [peer for peer in peers if (root / peer).is_file()]
    return sorted(p for p in found if not found & {str(above) for above in Path(p).parents})


def _place(root: Path, name: str) -> Path | None:
    """Return the file or folder of an imported name, if that is code which may be measured."""
    parts = name.split(".")
    if parts[0] == "common":
        parts = ["benchmarks", *parts]
    elif parts[0] != "helpers":
        return None
    # The last part may be a name in a module.
    for length in range(len(parts), max(len(parts) - 2, 0), -1):
        package = Path(*parts[:length])
        module = package.with_suffix(".py")
        if (root / module).is_file():
            return None if {module, *module.parents} & _UNMEASURED else module
        if length > 1 and (root / package / "__init__.py").is_file():
            return None if {package, *package.parents} & _UNMEASURED else package
    return None


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _measured(record: Path) -> datetime | None:
    """Return when the oldest result in a record was measured."""
    if not record.exists():
        return None
    try:
        own = json.loads(record.read_text(encoding="utf-8"))
        dates = [own["date"]] if "date" in own else [row["date"] for row in own["rows"]]
        oldest = min(datetime.fromisoformat(date) for date in dates)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{record} cannot be read: {error}") from None
    return oldest if oldest.tzinfo else oldest.replace(tzinfo=UTC)


def _last_change(root: Path, path: str) -> datetime:
    """Return when a file or folder was changed last; now if that is not committed."""
    if _git(root, "status", "--porcelain", "--", path):
        return datetime.now(UTC)
    time = _git(root, "log", "-1", "--format=%cI", "--", path)
    return datetime.fromisoformat(time) if time else datetime.now(UTC)


def _code_changed(root: Path, commit: str, path: str) -> bool:
    """Whether a file or folder now says something else to Python than it did in a commit."""
    if _git(root, "ls-files", "--others", "--exclude-standard", "--", path):
        return True
    changes = _git(root, "diff", "--relative", "--name-status", "--no-renames", commit, "--", path)
    for status, name in (line.split("\t") for line in changes.splitlines()):
        if status != "M" or not name.endswith(".py"):
            return True
        try:
            now = (root / name).read_text("utf-8")
            same = _code(_git(root, "show", f"{commit}:./{name}")) == _code(now)
        except ValueError:  # not UTF-8
            return True
        if not same:
            return True
    return False


def _code(text: str) -> str:
    """Return what a module does, without comments, layout and docstrings but for its peers."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            vars(node)["body"] = [line for line in body if not _is_text(line)]
    return ast.dump(tree) + _peer_block(text)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a string, such as a docstring."""
    value = getattr(statement, "value", None)
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return isinstance(statement, ast.Expr) and is_text


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except FileNotFoundError:
        raise CourseError("this needs git, to know what was changed when") from None
    if done.returncode:
        raise CourseError(f"{root} has no history to look into: {done.stderr.strip()}")
    return done.stdout.strip()


# --- running ------------------------------------------------------------------------------------


def run(
    root: Path,
    benchmarks: Sequence[Benchmark],
    *,
    quick: bool = False,
    everything: bool = False,
    minutes: float = 600.0,
    say: Callable[[str], None] = print,
    command: Command | None = None,
) -> list[Outcome]:
    """Run benchmarks one after the other; a failure does not keep the next from running.

    Each record is whole when its script ends, so a stopped run goes on with the first benchmark
    that is still out of date. One whose peers are not there is left alone: its record would lose
    them.

    Parameters
    ----------
    root : Path
        The repository.
    benchmarks : sequence of Benchmark
        From :func:`survey`.
    quick : bool
        A small pass over every part, written to ``build/benchmarks``; peers may be missing.
    everything : bool
        Also what is up to date.
    minutes : float
        After these a benchmark that is made of parts starts no other part.
    say : callable
        Receives a line before each benchmark.
    command : callable
        Runs a command line and returns its exit status; for tests.
    """
    command = command or (lambda line: subprocess.run(line, cwd=root).returncode)
    outcomes = []
    for number, benchmark in enumerate(benchmarks, start=1):
        place = f"{number}/{len(benchmarks)} {benchmark.name}"
        if benchmark.lacks_peer and not quick:
            outcomes.append(Outcome(benchmark.name, "skipped", _missing(root, benchmark)))
        elif not (benchmark.stale or everything or quick):
            outcomes.append(Outcome(benchmark.name, "up to date"))
        else:
            say(place)
            line = command_line(root, benchmark.name, quick, minutes)
            status = command(line)
            why = f"exit status {status} of:  {' '.join(['python', *line[1:]])}"
            good: Status = "passed" if quick else "recorded"
            outcomes.append(
                Outcome(benchmark.name, "failed", why) if status else Outcome(benchmark.name, good)
            )
            continue
        say(f"{place}: {outcomes[-1].status} {outcomes[-1].reason}".rstrip())
    return outcomes


def command_line(root: Path, name: str, quick: bool, minutes: float) -> list[str]:
    """Return the command that runs a benchmark, with those of our options that its script takes."""
    script = f"benchmarks/{name}.py"
    text = (root / script).read_text(encoding="utf-8")
    if quick:
        return [sys.executable, script, "--quick"]
    again = ["--again"] if '"--again"' in text else []
    limit = ["--minutes", f"{minutes:g}"] if '"--minutes"' in text else []
    return [sys.executable, script, *again, *limit]


def _missing(root: Path, benchmark: Benchmark) -> str:
    assert benchmark.peer is not None
    commands = benchmark.install.replace("\n", "\n    ")
    return f"{benchmark.peer.relative_to(root)} is not there. Make it:\n    {commands}"
