"""A claim of ownership, judged: the evidence, what it is worth, and words that a court can read."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from helpers.errors import WatermarkError
from helpers.watermark.commitment import (
    Commitment,
    Entry,
    check_register,
    commitments_of,
    find_entry,
    moment_of,
    opens,
)
from helpers.watermark.key import Key
from helpers.watermark.null import MIN_INNOCENTS, Null, measure
from helpers.watermark.scheme import Reading, Scheme
from helpers.watermark.suspect import Suspect

ALPHA = 1e-9
_LEAST = 1e-290  # smaller tails are lost in float64

Outcome = Literal["shown", "not shown", "refused"]


@dataclass(frozen=True, eq=False)
class Claim:
    """What a claimant brings to court.

    Attributes
    ----------
    claimant
        The name under which the commitment was handed in.
    scheme, key
        With which the model is said to be marked.
    commitment
        To both of them.
    """

    claimant: str
    scheme: Scheme
    key: Key
    commitment: Commitment

    def null(self, innocents: Sequence[Suspect]) -> Null:
        """Measure the claim's null on models made independently of the claimant's.

        Raises
        ------
        WatermarkError
            If there are fewer than eight, or the scheme cannot read one.
        """
        readings = [self.scheme.read(model, self.key) for model in innocents]
        return measure(self.scheme.chance, readings)


@dataclass(frozen=True)
class Verdict:
    """What the court finds about one suspect.

    Attributes
    ----------
    outcome
        ``"shown"``, ``"not shown"``, or ``"refused"`` if the claim may not be heard.
    reason
        One sentence.
    claimant, suspect, scheme
        Names.
    reading
        Evidence; None if refused.
    needed
        Fewest that would have been enough; None if even the whole mark would not, or if refused.
    p_value
        Probability that one innocent model shows so much to one key; None if refused.
    null
        Under which; None if refused.
    tried
        Suspects examined times keys committed to: each of them is another chance to be wrong.
    false_claim
        Probability that anybody innocent among them is found to have copied, at most; None if
        ``needed`` is.
    alpha
        The most that ``false_claim`` may be.
    """

    outcome: Outcome
    reason: str
    claimant: str
    suspect: str
    scheme: str
    alpha: float
    tried: int = 1
    reading: Reading | None = None
    needed: int | None = None
    p_value: float | None = None
    null: Null | None = None
    false_claim: float | None = None

    def __str__(self) -> str:
        head = f"{self.claimant} against {self.suspect}, by {self.scheme}: {self.outcome.upper()}."
        if self.reading is None or self.null is None:
            return f"{head} {self.reason}"
        lines = [
            head,
            self.reason,
            f"Found: {self.reading.found} of {self.reading.looked_for} "
            f"({self.reading.share:.1%}). A model made without the claimant's shows as much with "
            f"probability {_at_most(self.p_value)}.",
            self._null_words(),
        ]
        if self.false_claim is not None:
            lines.append(
                f"{self.tried} combinations of suspect and key were tried. The chance that this "
                f"procedure accuses anyone innocent among them is {_at_most(self.false_claim)}, "
                f"which needs {self.needed} of {self.reading.looked_for}."
            )
        return "\n".join(lines)

    def _null_words(self) -> str:
        assert self.null is not None
        count, most = len(self.null.innocents), max(self.null.innocents)
        if self.null.kind == "ranked":
            return (
                f"That is the suspect's rank beside {count} independent models, of which the "
                f"highest shows {most:.1%}: with so few, no evidence gives less than 1 in "
                f"{count + 1}."
            )
        return (
            f"Of {count} independent models the highest shows {most:.1%}; each part of the mark "
            f"was taken to be found by chance with probability {self.null.rate:.3f}, where a "
            f"fresh key promises {self.null.design:.3f}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and strings, for a dossier in JSON."""
        shown = {name: value for name, value in vars(self).items() if name not in _NESTED}
        nested = {
            name: None if (value := getattr(self, name)) is None else dict(vars(value))
            for name in _NESTED
        }
        return {**shown, **nested}


_NESTED = ("reading", "null")


def judge(
    claim: Claim,
    suspect: Suspect,
    null: Null,
    register: tuple[Entry, ...],
    notary: bytes,
    first_seen: datetime.datetime,
    suspects: int = 1,
    alpha: float = ALPHA,
) -> Verdict:
    """Hear a claim: first whether it may be made, then what the evidence is worth.

    Parameters
    ----------
    claim
        Key, scheme and commitment of the claimant.
    suspect
        The model in question.
    null
        Of this claim, from :meth:`Claim.null`, measured by the court. If the suspect was aligned,
        on independent models that were aligned in the same way.
    register
        The notary's, whole, and from the notary.
    notary
        The notary's public key.
    first_seen
        When the suspect was first seen, with a time zone. A commitment of a later date may have
        been fitted to it.
    suspects
        How many the claimant has examined, this one included. One that is read as it stands and
        aligned counts as two.
    alpha
        Largest probability of a false claim that the court accepts.

    Returns
    -------
    Verdict

    Raises
    ------
    WatermarkError
        If a setting is out of range, the null promises less than the scheme's own chance, or the
        register is not the notary's: then nobody can be heard.
    """
    if suspects < 1 or not 0 < alpha < 1 or first_seen.tzinfo is None:
        raise WatermarkError(
            f"suspects={suspects} must be at least 1, alpha={alpha} between 0 and 1, and "
            f"first_seen={first_seen} must have a time zone."
        )
    _check_null(null, claim.scheme)
    check_register(register, notary)
    refusal = _refusal(claim, register, first_seen)
    names = claim.claimant, suspect.name, claim.scheme.name
    if refusal:
        return Verdict("refused", refusal, *names, alpha)
    tried = suspects * commitments_of(claim.claimant, register)
    reading = claim.scheme.read(suspect, claim.key)
    needed = null.needed(reading.looked_for, alpha / tried)
    enough = needed is not None and reading.found >= needed
    return Verdict(
        "shown" if enough else "not shown",
        _reason(claim.scheme, enough, needed, alpha),
        *names,
        alpha,
        tried,
        reading,
        needed,
        null.p_value(reading),
        null,
        None if needed is None else tried * null.p_value(Reading(needed, reading.looked_for)),
    )


def _check_null(null: Null, scheme: Scheme) -> None:
    """Raise if a null is kinder to the claimant than the scheme may be."""
    if len(null.innocents) < MIN_INNOCENTS:
        raise WatermarkError(
            f"A null of {len(null.innocents)} independent models: it takes {MIN_INNOCENTS}."
        )
    if null.kind == "ranked":
        return
    least = max(1.0 if scheme.chance is None else scheme.chance, *null.innocents)
    if null.rate is None or not least <= null.rate <= 1:
        raise WatermarkError(
            f"A null with a rate of {null.rate} for {scheme.name!r}, where chance and independent "
            f"models show {least:.3f}: measure it with Claim.null()."
        )


def _refusal(claim: Claim, register: tuple[Entry, ...], first_seen: datetime.datetime) -> str:
    if not opens(claim.key, claim.scheme, claim.commitment):
        return "The key and the scheme do not open the commitment: they are not what was dated."
    entry = find_entry(claim.claimant, claim.commitment, register)
    if entry is None:
        return "The commitment is not in the notary's register under the claimant's name."
    first = next(other for other in register if other.digest == entry.digest)
    if first.claimant != claim.claimant:
        # A digest is public: anybody may hand it in again, and open it once the secret is known.
        return (
            f"The same commitment was handed in before, by {first.claimant} on {first.time}: it is "
            "theirs."
        )
    if moment_of(entry.time) >= first_seen:
        return (
            f"The commitment is dated {entry.time}, the suspect was first seen "
            f"{first_seen.isoformat()}: the key may have been fitted to it."
        )
    return ""


def _reason(scheme: Scheme, enough: bool, needed: int | None, alpha: float) -> str:
    if enough:
        return f"It is shown that {scheme.shows}."
    if needed is None:
        return (
            f"Even the whole evidence could not bring the chance of a false claim to {alpha:.0e}: "
            "it may support a case, and cannot make one."
        )
    return "An innocent model may show as much: the claim fails."


def _at_most(probability: float | None) -> str:
    """Write a bound with two digits, rounded up: a verdict may not state less than was shown."""
    if probability is None:
        return "unknown"
    if probability < _LEAST:
        return f"below {_LEAST:.0e}"
    step = 10.0 ** (math.floor(math.log10(probability)) - 1)
    written = f"{probability:.1e}"
    if float(written) < probability:
        written = f"{probability + step / 2:.1e}"
    return f"at most {written}"
