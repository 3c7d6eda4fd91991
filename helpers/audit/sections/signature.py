"""Whether the file is the one that its maker signed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Notes, Rated
from helpers.edge.signing import require_public_key, verify
from helpers.errors import AuditError, EdgeError

RULE = "A file that does not verify is not the one that was signed, whatever it does: critical."


def signature(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Check the file's signature against a key that the practitioner trusts."""
    key = bench.settings.public_key
    if key is None:
        raise AuditError("no key was given to check a signature with: give --public-key")
    allowance.require()
    require_public_key(key)
    with bench.path.open("rb") as file:
        now = hashlib.file_digest(file, "sha256").hexdigest()
    if now != bench.model.sha256:
        raise AuditError("the file has changed since the audit began, so no signature can speak "
                         "for what was audited")  # fmt: skip
    stored = bench.settings.signature or Path(f"{bench.path}.sig")
    if not stored.is_file():
        raise AuditError(f"there is no signature {stored.name} that says what the maker signed: "
                         "give --signature")  # fmt: skip
    try:
        verify(bench.path, key, stored)
    except EdgeError as refused:
        notes.table("Signature", ("Key", "Verdict"), [(key.name, "does not verify")])
        notes.findings.append(Rated(
            "The file does not verify", "critical", str(refused),
            "Do not deploy it. Fetch it anew from its maker and ask what happened.", RULE,
        ))  # fmt: skip
        return
    notes.table("Signature", ("Key", "Verdict"), [(key.name, "verifies")])
