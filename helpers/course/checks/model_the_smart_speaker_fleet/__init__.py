"""Checks of lab 13, *Model the smart-speaker fleet*: a model held against its documents."""

from __future__ import annotations

from helpers.course.checks.model_the_smart_speaker_fleet.decisions import GATE, LIKELIHOOD
from helpers.course.checks.model_the_smart_speaker_fleet.fleet import FLEET
from helpers.course.checks.model_the_smart_speaker_fleet.ranking import KEPT
from helpers.course.checks.model_the_smart_speaker_fleet.shapes import CROSSINGS, LETTERS, TENETS
from helpers.course.tasks import LabSpec, Memo

__all__ = ["LAB"]

LAB = LabSpec(
    name="model-the-smart-speaker-fleet",
    number=13,
    title="Model the smart-speaker fleet",
    minutes=150,
    tasks=(LETTERS, CROSSINGS, FLEET, KEPT, TENETS, LIKELIHOOD, GATE),
    memos=(
        Memo(
            "memo", "Decision memo to the head of product",
            words=(150, 300),
            rubric=(
                "Names which threats are treated and how, which are accepted, by whom, why and "
                "until when; nothing at high or above is left without one of the two.",
                "Speaks of heaps, not of places: says how much of the top five survives a point "
                "of disagreement, and what follows for the order of work.",
                "Separates what was measured, what was proved and what was guessed, each with the "
                "setting it holds for.",
                "Says what the documents leave open and whom to ask, and names the factory.",
                "Says how a change of the model itself will be noticed: who reads the difference "
                "before the gate is believed.",
            ),
        ),
    ),
)  # fmt: skip
