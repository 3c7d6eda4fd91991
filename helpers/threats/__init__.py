"""Threat modelling as code: a system model in, threats, scores, diagrams and a gate out.

>>> from helpers import threats
>>> model = threats.load("smart-speaker")
>>> analysis = threats.analyse(model)
>>> print(threats.to_markdown(analysis))

How it fits together, in the order to read it: :mod:`~helpers.threats.vocabulary` has the words,
:mod:`~helpers.threats.model` the system, :mod:`~helpers.threats.attributes` what can be asked of
it, :mod:`~helpers.threats.rules` what is looked for, :mod:`~helpers.threats.dread` the first guess,
:mod:`~helpers.threats.measurement` what replaces it, and :mod:`~helpers.threats.engine` puts them
together. :mod:`~helpers.threats.editing` changes a model and writes it down;
:mod:`~helpers.threats.figures` draws. Both are imported on their own.
"""

from helpers.threats.comparing import Comparison, compare
from helpers.threats.diagram import to_mermaid, to_svg
from helpers.threats.differing import Difference, difference
from helpers.threats.engine import Analysis, Threat, analyse
from helpers.threats.lab_reports import read_report
from helpers.threats.loading import load, loads, shipped
from helpers.threats.measurement import METRICS, Measurement, rate
from helpers.threats.model import Acceptance, Element, Flow, SystemModel, Zone
from helpers.threats.otm import to_otm
from helpers.threats.privacy_by_design import Concern, privacy_concerns
from helpers.threats.report import to_html, to_markdown
from helpers.threats.rules import Rule, all_rules
from helpers.threats.stability import Stability, rank_stability
from helpers.threats.zero_trust import Check, zero_trust_checks

__all__ = [
    "METRICS",
    "Acceptance",
    "Analysis",
    "Check",
    "Comparison",
    "Concern",
    "Difference",
    "Element",
    "Flow",
    "Measurement",
    "Rule",
    "Stability",
    "SystemModel",
    "Threat",
    "Zone",
    "all_rules",
    "analyse",
    "compare",
    "difference",
    "load",
    "loads",
    "privacy_concerns",
    "rank_stability",
    "rate",
    "read_report",
    "shipped",
    "to_html",
    "to_markdown",
    "to_mermaid",
    "to_otm",
    "to_svg",
    "zero_trust_checks",
]
