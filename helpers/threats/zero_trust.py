"""Zero Trust: no flow is trusted for where it comes from.

Every flow over a network, a radio or a memory card is asked five questions, inside a zone as much
as between two, each from the tenets of NIST SP 800-207 (Rose, Borchert, Mitchell and Connelly 2020,
section 2.1). A question is answered by a control on the flow or at its receiving end. Flows inside
one machine, of the physical world, and between a person and a screen are not asked: they have no
keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.threats import vocabulary
from helpers.threats.model import Flow, SystemModel


@dataclass(frozen=True)
class Tenet:
    """One question.

    Attributes
    ----------
    name, question
        What is asked.
    answered_by
        Controls any of which answers it.
    tenets
        Numbers of the tenets of NIST SP 800-207, section 2.1.
    """

    name: str
    question: str
    answered_by: tuple[str, ...]
    tenets: str


TENETS = (
    Tenet(
        "authenticated", "Does the receiver know by a key who sends?",
        ("peer-authentication", "signed-messages"), "2, 6",
    ),
    Tenet(
        "authorised", "Is each request checked against what this sender may do?",
        ("authorisation", "access-control"), "3, 4",
    ),
    Tenet(
        "encrypted", "Is it unreadable on the way, inside the building too?", ("encryption",), "2",
    ),
    Tenet(
        "least privilege", "Does this key or right open nothing else?",
        ("scoped-credentials", "least-privilege"), "3, 4",
    ),
    Tenet(
        "verified continuously", "Is a lost key or a changed device noticed while it is in use?",
        ("revocation", "remote-attestation", "session-expiry"), "5, 6, 7",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The five answers of one flow.

    Attributes
    ----------
    flow
        Its name.
    title
        From where to where.
    answers
        For each tenet the control that answers it, or None.
    """

    flow: str
    title: str
    answers: dict[str, str | None]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tenets that nothing answers."""
        return tuple(name for name, control in self.answers.items() if control is None)


def zero_trust_checks(model: SystemModel) -> tuple[Check, ...]:
    """Check every flow that travels; those that fail most come first."""
    checks = [_check(model, flow) for flow in model.flows if _is_asked(flow)]
    return tuple(sorted(checks, key=lambda check: -len(check.failed)))


def _is_asked(flow: Flow) -> bool:
    return vocabulary.PROTOCOLS[flow.protocol].medium in ("network", "radio", "media")


def _check(model: SystemModel, flow: Flow) -> Check:
    there = {*flow.protected_by, *model.element(flow.target).controls}
    answers = {
        tenet.name: next((control for control in tenet.answered_by if control in there), None)
        for tenet in TENETS
    }
    ends = f"{model.target_title(flow.source)} → {model.target_title(flow.target)}"
    return Check(flow.name, ends, answers)
