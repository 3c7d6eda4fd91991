"""Checks of lab 2, *Train under a privacy budget*: DP-SGD, what it promises and what it keeps."""

from __future__ import annotations

from helpers.course.checks.train_under_a_privacy_budget.mechanism import STEP
from helpers.course.checks.train_under_a_privacy_budget.offers import DIAGNOSES, VENDORS, vendors
from helpers.course.checks.train_under_a_privacy_budget.promises import CALIBRATION, MEANING, PROOF
from helpers.course.tasks import LabSpec, Memo

__all__ = ["DIAGNOSES", "LAB", "vendors"]

LAB = LabSpec(
    name="train-under-a-privacy-budget",
    number=2,
    title="Train under a privacy budget",
    minutes=120,
    tasks=(PROOF, MEANING, *STEP, CALIBRATION, VENDORS),
    memos=(
        Memo(
            "memo", "Decision memo to the data protection officer",
            words=(150, 300),
            rubric=(
                "Names one epsilon and delta and says what they mean for one patient, as hits at "
                "a stated rate of false accusations, against the limit in the brief.",
                "Gives the cost with its spread: accuracy and cancers found, on how many "
                "patients, with and without noise.",
                "Gives the evidence before and after: the most exposed patient's figures and the "
                "average over patients, and why the average misleads.",
                "Says what the audit of this implementation found, what a pass does not prove, and "
                "which vendor, if any, may be used.",
                "Names what the promise does not cover, and who must enter what into the ledger "
                "before the next release.",
            ),
        ),
    ),
)  # fmt: skip
