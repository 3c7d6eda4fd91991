"""The sections of an audit, in the order in which they run.

What is quick and needs nothing comes first, so that even an audit with little time says what the
file is. Extraction comes before the attacks, which use the copy that it distils.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.results import Notes
from helpers.audit.sections.accuracy import accuracy
from helpers.audit.sections.answers import answers
from helpers.audit.sections.attacks import attacks
from helpers.audit.sections.corruption import corruption
from helpers.audit.sections.cost import cost
from helpers.audit.sections.extraction import extraction
from helpers.audit.sections.identity import identity
from helpers.audit.sections.membership import membership
from helpers.audit.sections.ownership import ownership
from helpers.audit.sections.quantisation import quantisation
from helpers.audit.sections.signature import signature


@dataclass(frozen=True)
class Section:
    """One part of an audit.

    Attributes
    ----------
    name, title
        Key, and words.
    question
        What it answers.
    limits
        What it cannot show on any model.
    run
        Does it: what it finds goes into the notes.
    weight
        Of its share of the time.
    """

    name: str
    title: str
    question: str
    limits: str
    run: Callable[[Bench, Allowance, Notes], None]
    weight: float = 1.0


SECTIONS = (
    Section(
        "identity", "What it is", "What does the file hold, take and give?",
        "The file says all of this about itself. A hostile one can lie, and nothing here proves "
        "what it was trained for.",
        identity, 0.5,
    ),
    Section(
        "signature", "Signature", "Is it the file that its maker signed?",
        "A signature shows who signed and that nothing changed since, not that the model is good. "
        "The key must come from somewhere you trust.",
        signature, 0.5,
    ),
    Section(
        "answers", "Answers", "Are the answers numbers, and the same when asked again?",
        "A fault on rare inputs shows only if they are among those that were asked. What numbers "
        "mean does not stand in a file, so what cannot be told from them is assumed.",
        answers,
    ),
    Section(
        "cost", "Latency and memory", "What does it take here, and about what on a device?",
        "Nothing measured here says what a device will do. An estimate is a calibrated roofline "
        "that knows nothing of the operators a runtime lacks; its range holds four of five stacks "
        "like the published ones.",
        cost, 2.0,
    ),
    Section(
        "accuracy", "Accuracy", "How often is it right on your examples?",
        "The interval speaks of your examples as a sample. It says nothing about inputs of another "
        "kind, and the examples must not be those it was trained on.",
        accuracy, 2.0,
    ),
    Section(
        "quantisation", "What the conversion changed", "Does the file answer as the float model?",
        "The two are compared on your examples alone.",
        quantisation,
    ),
    Section(
        "membership", "Membership leakage", "Do the answers tell who was in the training data?",
        "One threshold on the confidence is the simplest attack. Shadow models, which take the "
        "training procedure, name more members (chapter on quantization and privacy).",
        membership,
    ),
    Section(
        "ownership", "Ownership", "Does the file carry your watermark or fingerprint?",
        "Matches alone show nothing. What counts is how many an innocent model gives, and a court "
        "also asks when the key was fixed.",
        ownership,
    ),
    Section(
        "corruption", "Corruptions", "How does it bear weather, optics and motion?",
        "The corruptions are simulated and meant for photographs. Real weather brings several at "
        "once.",
        corruption, 2.0,
    ),
    Section(
        "extraction", "Extraction cost", "What does a copy cost in questions?",
        "The thief has inputs like yours and a small network of ours. Who has more inputs or a "
        "better guess at the architecture needs fewer questions; who has other inputs needs more.",
        extraction, 3.0,
    ),
    Section(
        "attacks", "Attacks on the deployed file", "How easily is it fooled?",
        "The accuracy left is an upper bound: a better attack may find more. For a file that you "
        "trust, edgesec assess tries harder and checks whether gradients are masked.",
        attacks, 3.0,
    ),
)  # fmt: skip
