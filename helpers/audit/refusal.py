"""A file that cannot even be opened gets a report too: refused, because of what, and which file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from helpers.audit.bench import Settings
from helpers.audit.claims import ClaimError
from helpers.audit.results import Notes, Rated
from helpers.audit.runner import Clocks, head, incident_text, section_entry
from helpers.audit.schema import check
from helpers.audit.sections import SECTIONS
from helpers.audit.session import INCIDENTS, Incident
from helpers.errors import AuditError, ModelRefusedError

REFUSALS: tuple[type[AuditError], ...] = (ModelRefusedError, ClaimError, *INCIDENTS)
RULE = (
    "A file that its runtime, or the reader before it, does not take can neither be deployed nor "
    "audited; one that ends the process which opens it can do worse on a device: high."
)


def refused_report(
    path: Path,
    error: AuditError,
    settings: Settings,
    budget: float,
    clocks: Clocks | None = None,
) -> dict[str, Any]:
    """Return the report of a file that was refused.

    Parameters
    ----------
    path
        The file; it is only hashed.
    error
        Why it was refused, one of ``REFUSALS``.
    settings, budget
        How it was to be audited.
    clocks
        Where the time is read.

    Returns
    -------
    dict
        As ``audit.schema.json`` says, with the verdict ``refused``; its one section has a finding.

    Raises
    ------
    AuditError
        The same error, if the file cannot be read, so that there is nothing to report on.
    """
    digest, size = _hash(path, error)
    model = {
        "name": path.name, "sha256": digest, "bytes": size, "format": "unknown",
        "task": "unknown: it was refused", "answers": "",
    }  # fmt: skip
    report = head(model, None, settings, budget, clocks or Clocks())
    why = str(error).replace(str(path), path.name)[:2000]  # folders are nobody else's business
    notes = Notes(not_done=["Everything: the file was refused."])
    kind = INCIDENTS.get(type(error))
    notes.findings.append(Rated(
        "The file ended or overran the process that opened it" if kind else "The file is refused",
        "high", why.rstrip("."),
        "Run it nowhere outside a sandbox until somebody knows why." if kind
        else "Ask its maker for a file that opens, and for its SHA-256.", RULE,
    ))  # fmt: skip
    incidents = [incident_text(Incident(kind, "open", why))] if kind else []
    entry = section_entry(SECTIONS[0], notes, 0.0, 0.0, 0)
    return check({
        **report,
        "complete": True,
        "verdict": {"outcome": "refused", "reason": f"refused, because: {why}"},
        "incidents": incidents,
        "sections": [{**entry, "status": "not done"}],
    })  # fmt: skip


def _hash(path: Path, error: AuditError) -> tuple[str, int]:
    if not path.is_file():  # a pipe would be waited for
        raise error
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
    except OSError:
        raise error from None
