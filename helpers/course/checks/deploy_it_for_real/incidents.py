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
_FROM_OUTSIDE = {
    "plain text": "a",
    "no certificate": "a",
    "rogue authority": "a",
    "expired": "a",
    "a server's certificate": "a",
    "not a member": "b",
    "another's node key": "b",
}
_FROM_A_MEMBER = {
    "replay": "c",
    "not a number": "c",
    "oversized": "c",
    "heavy weight": "c",
    "backwards": "d",
}
_STOPPED_BY = {**_FROM_OUTSIDE, **_FROM_A_MEMBER}


def _who_stopped_it(seed: int, profile: str = "full") -> dict[str, str]:
    return dict(_STOPPED_BY)


def _same_letters(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    tidy = {str(name): str(letter).strip().lower() for name, letter in got.items()}
    if unknown := sorted(set(tidy.values()) - set(LAYERS)):
        return f"{unknown[0]!r} is none of the letters {', '.join(LAYERS)}"
    # Which table, not which row nor how many: letters could be tried one by one.
    if any(tidy.get(name) != letter for name, letter in _FROM_OUTSIDE.items()):
        return (
            "not all attacks from outside have their letter: for each, does the gateway's own note "
            "name who asked?"
        )
    if any(tidy.get(name) != letter for name, letter in _FROM_A_MEMBER.items()):
        return (
            "not all of what a member sent has its letter: each of them was let in to send it, so "
            "was the update refused, or counted?"
        )
    return None


WHO_STOPPED_IT = ValueTask(
    "q7", "Who stopped it", 2, _who_stopped_it, _same_letters,
    "A dict: each attack of the two tables, and a letter. The gateway's own refusals name who "
    "asked; in the handshake there is no name yet. Did the last one change the model?",
    tells=True,
)  # fmt: skip
