"""Which submissions share unusual code: a table to look at, never a verdict.

A submission becomes a bag of short runs of tokens. Variables are all called the same, since
renaming is easy; functions, attributes, keywords and operators stay. Runs that the lab's notebook
gives are left out. scikit-learn's TF-IDF weights a run by how few submissions hold it, and the
cosine of two bags says how much unusual code they share (Manning, Raghavan and Schütze, An
Introduction to Information Retrieval, 2008, chapter 6).
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers._files import write_atomically
from helpers.course.grading.records import Record
from helpers.course.grading.tables import Row, as_csv

_RUN = 8  # tokens in one run
# Characters of a line that are compared, of both its ends: an unclosed quote takes by their square.
_LINE = 500
_LEAST = 0.1  # pairs with less in common are not listed
_SILENT = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two submissions, the cosine of their unusual runs, and the longest code they share."""

    one: str
    other: str
    similarity: float
    shared: str


def tokens(code: str) -> list[str]:
    """Return the tokens of code with variables, numbers and strings made alike."""
    found: list[tokenize.TokenInfo] = []
    code = "\n".join(
        line if len(line) <= _LINE else line[: _LINE // 2] + line[-_LINE // 2 :]
        for line in code.split("\n")
    )
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type not in _SILENT:
                found.append(token)
    except (tokenize.TokenError, SyntaxError):
        pass  # what could be read until there
    return [_alike(found, place) for place in range(len(found))]


def _alike(found: Sequence[tokenize.TokenInfo], place: int) -> str:
    token = found[place]
    if token.type == tokenize.NUMBER:
        return "0"
    if token.type == tokenize.STRING:
        return "''"
    if token.type != tokenize.NAME or keyword.iskeyword(token.string):
        return token.string
    before = found[place - 1].string if place else ""
    after = found[place + 1].string if place + 1 < len(found) else ""
    defined = before in ("def", "class")
    return token.string if not defined and (before == "." or after == "(") else "v"


def runs(code: str) -> list[str]:
    """Return every run of tokens in some code, in order."""
    parts = tokens(code)
    return [" ".join(parts[at : at + _RUN]) for at in range(len(parts) - _RUN + 1)]


def similar_pairs(records: Sequence[Record], given: str) -> list[Pair]:
    """Return the pairs of submissions that share unusual code, the most alike first."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    left_out = set(runs(given))
    own = {
        r.ident: {at: run for at, run in enumerate(runs(r.code)) if run not in left_out}
        for r in records
    }
    kept = [record for record in records if own[record.ident]]
    if len(kept) < 2:
        return []
    bags = TfidfVectorizer(analyzer=lambda record: own[record.ident].values(), sublinear_tf=True)
    weights = bags.fit_transform(kept)
    cosines = np.triu((weights @ weights.T).toarray(), 1)
    pairs = [
        Pair(
            kept[i].learner, kept[j].learner, float(cosines[i, j]),
            _longest(own[kept[i].ident], set(own[kept[j].ident].values())),
        )
        for i, j in np.argwhere(cosines >= _LEAST)
    ]  # fmt: skip
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.one, pair.other))


def _longest(one: Mapping[int, str], other: set[str]) -> str:
    """Return the longest stretch of neighbouring runs of `one` that `other` holds too."""
    longest = last = length = 0
    for at, run in one.items():
        if run not in other:
            length = 0
            continue
        length = length + 1 if at - 1 in one else 1
        if length > longest:
            longest, last = length, at
    if not longest:
        return ""
    places = range(last - longest + 1, last + 1)
    return " ".join([one[places[0]], *(one[at].rpartition(" ")[2] for at in places[1:])])


def write_pairs(out: Path, pairs: Sequence[Pair]) -> Path:
    """Write the table as ``similar.csv`` and return where it lies."""
    rows: list[Row] = [["learner", "other", "similarity", "longest shared code, names removed"]]
    rows += [[p.one, p.other, round(p.similarity, 3), p.shared[:2000]] for p in pairs]
    write_atomically(out / "similar.csv", as_csv(rows))
    return out / "similar.csv"
