"""Who stopped which attack: q7."""

from __future__ import annotations

from typing import Any

from helpers.course.tasks import ValueTask

#: What may have stopped an attack, by the letter that the lab asks for.
LAYERS = {
    "a": "the TLS handshake",
    "b": "the gateway, by who asks",
    "c": "the update gate",
    "d": "nothing",
}
_STOPPED_BY = {
    "plain text": "a",
    "no certificate": "a",
    "rogue authority": "a",
    "expired": "a",
    "a server's certificate": "a",
    "not a member": "b",
    "another's node key": "b",
    "replay": "c",
    "not a number": "c",
    "oversized": "c",
    "heavy weight": "c",
    "backwards": "d",
}


def _who_stopped_it(seed: int, profile: str = "full") -> dict[str, str]:
    return dict(_STOPPED_BY)


def _same_letters(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    tidy = {str(name): str(letter).strip().lower() for name, letter in dict(got).items()}
    if unknown := sorted(set(tidy.values()) - set(LAYERS)):
        return f"{unknown[0]!r} is none of the letters {', '.join(LAYERS)}"
    wrong = sum(tidy.get(name) != letter for name, letter in expected.items())
    return f"{wrong} of {len(expected)} attacks have another letter" if wrong else None


WHO_STOPPED_IT = ValueTask(
    "q7", "Who stopped it", 2, _who_stopped_it, _same_letters,
    "A dict: each attack of the two tables, and a letter. The gateway's own refusals name who "
    "asked; in the handshake there is no name yet. Did the last one change the model?",
    tells=True,
)  # fmt: skip
