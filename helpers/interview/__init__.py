"""Interview practice: a question bank, rubrics, honest scores, and practice that comes back.

>>> from helpers import interview
>>> bank = interview.load_bank()
>>> bank["federated-or-private"].rubric[0].weight
4

A question (:mod:`~helpers.interview.question`) is read strictly
(:mod:`~helpers.interview.loading`), its numbers are computed
(:mod:`~helpers.interview.preparing`), and an answer is scored
(:mod:`~helpers.interview.scoring`). This room knows no other subject: numbers, threats and the
sandbox come in through :class:`~helpers.interview.checking.Outside`, which
:mod:`helpers.course.interview` fills.
"""

from helpers.interview.checking import Outside, problems_of, problems_of_bank
from helpers.interview.duplicates import near_duplicates
from helpers.interview.loading import load_bank, load_question
from helpers.interview.preparing import prepare
from helpers.interview.question import Question
from helpers.interview.vocabulary import FORMATS, LEVELS, TOPICS

__all__ = [
    "FORMATS",
    "LEVELS",
    "TOPICS",
    "Outside",
    "Question",
    "load_bank",
    "load_question",
    "near_duplicates",
    "prepare",
    "problems_of",
    "problems_of_bank",
]
