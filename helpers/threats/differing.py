"""What changed between two versions of a model, and what that did to its threats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from helpers.threats.engine import Analysis, Threat
from helpers.threats.model import Element, Flow, Zone

Part = Zone | Element | Flow


@dataclass(frozen=True)
class Difference:
    """From an old version to a new one.

    Attributes
    ----------
    added, removed
        Zones, elements and flows, as ``"flow upload"``.
    changed
        Fields that differ, as ``"flow upload: protocol http → https"``.
    new, gone
        Threats that only the new or only the old version has.
    moved
        Threats of both whose risk differs, old and new.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[Threat, ...]
    gone: tuple[Threat, ...]
    moved: tuple[tuple[Threat, Threat], ...]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        lines = [f"+ {part}" for part in self.added] + [f"- {part}" for part in self.removed]
        lines += [f"~ {change}" for change in self.changed]
        lines += [f"+ threat {t.id}  {t.level} {t.risk:.1f}" for t in self.new]
        lines += [f"- threat {t.id}  {t.level} {t.risk:.1f}" for t in self.gone]
        lines += [
            f"~ threat {old.id}  {old.level} {old.risk:.1f} → {now.level} {now.risk:.1f}"
            for old, now in self.moved
        ]
        return "\n".join(lines) or "no difference"


def difference(old: Analysis, new: Analysis) -> Difference:
    """Compare two versions, part by part under the same name."""
    parts_then, parts_now = _parts(old), _parts(new)
    threats_then = {threat.id: threat for threat in old.threats}
    threats_now = {threat.id: threat for threat in new.threats}
    both = [name for name in parts_now if name in parts_then]
    moved = [(threats_then[i], t) for i, t in threats_now.items() if i in threats_then]
    return Difference(
        added=tuple(name for name in parts_now if name not in parts_then),
        removed=tuple(name for name in parts_then if name not in parts_now),
        changed=tuple(
            f"{name}: {change}"
            for name in both
            for change in _changes(parts_then[name], parts_now[name])
        ),
        new=tuple(t for identity, t in threats_now.items() if identity not in threats_then),
        gone=tuple(t for identity, t in threats_then.items() if identity not in threats_now),
        moved=tuple((then, now) for then, now in moved if abs(then.risk - now.risk) > 1e-9),
    )


def _parts(analysis: Analysis) -> dict[str, Part]:
    model = analysis.model
    named: list[tuple[str, Sequence[Part]]] = [
        ("zone", model.zones), ("element", model.elements), ("flow", model.flows),
    ]  # fmt: skip
    return {f"{what} {part.name}": part for what, parts in named for part in parts}


def _changes(old: Part, new: Part) -> list[str]:
    found = []
    for field in fields(old):
        then, now = getattr(old, field.name), getattr(new, field.name)
        if isinstance(then, tuple):
            gone, come = [w for w in then if w not in now], [w for w in now if w not in then]
            words = [f"+{word}" for word in come] + [f"-{word}" for word in gone]
            if words:
                found.append(f"{field.name} {' '.join(words)}")
        elif then != now:
            found.append(f"{field.name} {_shown(then)} → {_shown(now)}")
    return found


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if value != "" else "nothing"  # type: ignore[call-overload]
