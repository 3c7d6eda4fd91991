"""What a process of our own need not import, though a library would."""

from __future__ import annotations

import sys

# jsonschema checks the format "iri" where this is installed, and importing it compiles a grammar:
# a second of work in every process that reads a notebook or a report. No schema here has an IRI.
IRI_GRAMMAR = "rfc3987_syntax"


def spare_iri_grammar() -> None:
    """Have jsonschema leave its grammar of IRIs alone; call before anything imports jsonschema."""
    sys.modules.setdefault(IRI_GRAMMAR, None)  # type: ignore[arg-type]
