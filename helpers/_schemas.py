"""Hold what was read to a JSON schema."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

IRI_GRAMMAR = "rfc3987_syntax"


def load_jsonschema() -> ModuleType:
    """Import jsonschema without its grammar of international addresses (RFC 3987).

    It builds the grammar when it is imported, for one format that no schema here asks for and none
    of a notebook: a second of CPU time in every process that runs a lab or a chapter.
    """
    if IRI_GRAMMAR in sys.modules:
        import jsonschema

        return jsonschema
    sys.modules[IRI_GRAMMAR] = None  # type: ignore[assignment]
    try:
        import jsonschema
    finally:
        sys.modules.pop(IRI_GRAMMAR, None)  # another thread may have been here
    return jsonschema


def mismatch(schema: dict[str, Any], content: Any) -> str | None:
    """Return where content breaks its schema most and how, or ``None`` if it fits.

    Parameters
    ----------
    schema
        It says itself of which draft it is.
    content
        Decoded JSON.
    """
    jsonschema = load_jsonschema()
    validator = jsonschema.validators.validator_for(schema)
    worst = jsonschema.exceptions.best_match(validator(schema).iter_errors(content))
    return None if worst is None else f"at {worst.json_path}: {worst.message[:200]}"
