"""What learners put between parts that are joined to bytes: a part may contain any of it."""

from __future__ import annotations

_SIGNS = [bytes([code]) for code in (*b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\r\n\0", 255)]
SEPARATORS = (*_SIGNS, *(sign * 2 for sign in _SIGNS), b" | ", b", ", b"\r\n")
