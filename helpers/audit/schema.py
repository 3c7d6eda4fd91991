"""The published form of an audit: ``audit.schema.json``, and reading what claims to have it."""

from __future__ import annotations

import datetime
import functools
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from helpers._reading import parse_json
from helpers._schemas import mismatch
from helpers._text import acting_character
from helpers.errors import AuditError

SCHEMA, BEFORE = "edgesec-audit/2", "edgesec-audit/1"
MOST_BYTES = 16 * 2**20


@functools.cache
def schema_text() -> str:
    """Return the JSON schema as it is published."""
    return files("helpers.audit").joinpath("audit.schema.json").read_text(encoding="utf-8")


def check(report: Any, source: str = "the audit") -> dict[str, Any]:
    """Return a report that has the published form.

    Parameters
    ----------
    report
        Decoded JSON.
    source
        What to call it in an error.

    Raises
    ------
    AuditError
        If it has another form; with the place.
    """
    report = _renewed(report)
    found = report.get("schema") if isinstance(report, dict) else None
    if found != SCHEMA:
        raise AuditError(
            f"{source} has the schema {str(found)[:80]!r}; this edgesec reads {SCHEMA}."
        )
    if problem := mismatch(json.loads(schema_text()), report):
        raise AuditError(f"{source}: {problem}")
    assert isinstance(report, dict)
    try:
        datetime.datetime.fromisoformat(report["made"])
    except ValueError as error:
        raise AuditError(f"{source}: at $.made: {error}") from error
    return report


def _renewed(report: Any) -> Any:
    """Return an audit of the form before this one with what it lacks: it was never refused."""
    if not isinstance(report, dict) or report.get("schema") != BEFORE:
        return report
    model = report.get("model")
    return {
        **report,
        "schema": SCHEMA,
        "verdict": {"outcome": "measured", "reason": ""},
        "model": {**model, "answers": ""} if isinstance(model, dict) else model,
    }


def read(path: Path) -> dict[str, Any]:
    """Read an audit's JSON file.

    Raises
    ------
    AuditError
        If it cannot be read, is too large, is no JSON, or has another form.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise AuditError(f"{path} is no regular file: it is no audit.")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise AuditError(f"{path} is larger than {MOST_BYTES >> 20} MiB: it is no audit.")
        return check(parse_json(content), path.name)
    except OSError as error:
        raise AuditError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{path} is not JSON: {error}.") from error


def dump(report: dict[str, Any]) -> str:
    """Return a report as JSON text in ASCII, after checking its form.

    Raises
    ------
    AuditError
        As for :func:`check`.
    """
    return json.dumps(check(report), indent=1, allow_nan=False) + "\n"


def clean(text: str) -> str:
    """Return a text whose acting characters are replaced, for terminals and pages."""
    return "".join("\N{REPLACEMENT CHARACTER}" if acting_character(c) else c for c in text)
