"""Ways to score prose by machine, kept to show how they fail; nothing else here uses them.

Each looks at a candidate's answer and at what the bank holds of the question, and returns a number
that should be higher for a better answer. :func:`separation` measures whether it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from helpers.errors import InterviewError
from helpers.interview.question import Question

Scorer = Callable[[Sequence[str], Question], list[float]]

_WORD = re.compile(r"[a-zα-ω][a-zα-ω-]{3,}")


def by_keywords(answers: Sequence[str], question: Question) -> list[float]:
    """Score by the share of the rubric's words (of four letters or more) that an answer has."""
    wanted = _words(" ".join(point.text for point in question.rubric))
    return [len(wanted & _words(answer)) / len(wanted) for answer in answers]


def by_tfidf(answers: Sequence[str], question: Question) -> list[float]:
    """Score by the cosine of TF-IDF vectors with the model answer and the rubric."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{question.answer} {_rubric(question)}", *answers]
    vectors = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(texts)
    found: list[float] = (vectors[1:] @ vectors[0].T).toarray()[:, 0].tolist()
    return found


def by_string_distance(answers: Sequence[str], question: Question) -> list[float]:
    """Score by the words in common with the model answer, whatever their order (rapidfuzz)."""
    from rapidfuzz import fuzz

    return [fuzz.token_set_ratio(question.answer, answer) / 100 for answer in answers]


def by_length(answers: Sequence[str], question: Question) -> list[float]:
    """Score by the number of words: what any other scorer should beat."""
    return [float(len(answer.split())) for answer in answers]


def stuffed(question: Question) -> str:
    """Return an answer without sense: the words of the rubric in the order of the alphabet."""
    return " ".join(sorted(_words(_rubric(question))))


def separation(
    questions: Iterable[Question],
    score: Scorer,
    worse: Mapping[str, str] | None = None,
    same_length: bool = False,
) -> float:
    """Measure how often a good answer in other words scores above a bad one.

    Parameters
    ----------
    questions
        Those with ``another_answer`` count.
    score
        What scores.
    worse
        ``{id: bad answer}``; the bank's wrong answers by default.
    same_length
        Cut the longer of the two to the words of the shorter one, so that length decides nothing.

    Returns
    -------
    float
        Share of the pairs, one good and one bad answer to the same question, in which the good
        one scores higher; ties count one half. 1 is a perfect scorer, 0.5 a coin, 0 a perfect
        scorer upside down. Averaged over questions it is the area under the ROC curve within them.

    Raises
    ------
    InterviewError
        If no question has a good answer in other words.
    """
    outcomes = []
    for question in questions:
        if question.another_answer:
            bad = worse[question.id] if worse is not None else question.wrong_answer
            pair = [question.another_answer, bad]
            if same_length:
                words = min(len(answer.split()) for answer in pair)
                pair = [" ".join(answer.split()[:words]) for answer in pair]
            good_score, bad_score = score(pair, question)
            outcomes.append(0.5 * ((good_score > bad_score) + (good_score >= bad_score)))
    if not outcomes:
        raise InterviewError("no question has `another_answer`, a good answer in other words.")
    return sum(outcomes) / len(outcomes)


def _rubric(question: Question) -> str:
    return " ".join(point.text for point in question.rubric)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
