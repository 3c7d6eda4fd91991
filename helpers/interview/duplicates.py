"""Questions that ask the same thing twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from helpers.interview.question import Question

# Two bars, since they see different things: words in another order, and words with small changes.
# Where they stand is measured in tests/interview/test_checking.py, on planted paraphrases and on
# the pairs of the bank.
MOST_COSINE = 0.5
MOST_OVERLAP = 80.0


class Pair(NamedTuple):
    """Two questions, and how alike their texts are.

    Attributes
    ----------
    one, other
        Ids.
    cosine
        Cosine of their TF-IDF vectors, 0 to 1.
    overlap
        Share of words in common regardless of order, 0 to 100 (rapidfuzz's token sort ratio).
    """

    one: str
    other: str
    cosine: float
    overlap: float


def closest_pairs(questions: Iterable[Question]) -> list[Pair]:
    """Compare what every two questions ask; the closest come first.

    Scenario and question count, and neither numbers nor model answers.

    Parameters
    ----------
    questions
        At least two.

    Returns
    -------
    list of Pair
        Every pair once.
    """
    from rapidfuzz import fuzz

    listed = list(questions)
    texts = [_asked(question) for question in listed]
    cosines = _cosines(texts)
    pairs = []
    for i, one in enumerate(listed):
        for j, other in enumerate(listed[:i]):
            overlap = fuzz.token_sort_ratio(texts[i], texts[j])
            pairs.append(Pair(one.id, other.id, float(cosines[i][j]), overlap))
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.one, pair.other))


def near_duplicates(questions: Iterable[Question]) -> list[Pair]:
    """Return the pairs above either bar: one of each should be rewritten or dropped."""
    return [
        pair
        for pair in closest_pairs(questions)
        if pair.cosine > MOST_COSINE or pair.overlap > MOST_OVERLAP
    ]


def _asked(question: Question) -> str:
    options = " ".join(option.text for option in question.options)
    return f"{question.title} {question.prompt} {options}".lower()


def _cosines(texts: Sequence[str]) -> Sequence[Sequence[float]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = r"[a-z][a-z-]+"
    vectors = TfidfVectorizer(
        token_pattern=words, stop_words="english", sublinear_tf=True, ngram_range=(1, 2)
    ).fit_transform(texts)
    similar: Sequence[Sequence[float]] = (vectors @ vectors.T).toarray()
    return similar
