from __future__ import annotations

import subprocess
import sys

from helpers._schemas import mismatch

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "properties": {"names": {"type": "array", "items": {"type": "string"}}},
}


def test_what_fits_has_no_mismatch_and_what_does_not_is_told_with_its_place() -> None:
    assert mismatch(SCHEMA, {"names": ["a", "b"]}) is None
    assert mismatch(SCHEMA, {"names": ["a", 1]}) == "at $.names[1]: 1 is not of type 'string'"
    assert len(str(mismatch(SCHEMA, {"names": ["a", ["b" * 1000]]}))) < 250


def test_jsonschema_is_loaded_without_the_grammar_that_takes_a_second_and_is_not_kept_from_it() -> (
    None
):
    code = (
        "from helpers._schemas import load_jsonschema; import sys; load_jsonschema();"
        "import nbformat; assert 'lark' not in sys.modules;"
        "import rfc3987_syntax; assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
