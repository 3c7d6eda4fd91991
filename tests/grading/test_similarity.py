"""Submissions that share unusual code come first; what everyone was given counts for nothing."""

from __future__ import annotations

import time
from pathlib import Path

from helpers.course.grading.records import Record
from helpers.course.grading.similarity import similar_pairs, tokens, write_pairs

GIVEN = """
def load(path):
    with open(path) as file:
        return [float(line) for line in file.read().splitlines() if line.strip()]
"""
COPIED = """
def spread(values):
    total, seen = 0.0, {}
    for place, value in enumerate(sorted(values, reverse=True)):
        seen.setdefault(round(value, 3), []).append(place ** 2 % 7)
        total += abs(value - seen.get(round(value, 3))[-1]) / (1 + place)
    return total / max(len(seen), 1)
"""
RENAMED = COPIED
for old, new in (("total", "acc"), ("seen", "cache"), ("place", "i"), ("value", "x"), ("0.0", "0")):
    RENAMED = RENAMED.replace(old, new)
OTHERS = [
    "def spread(v):\n    import statistics\n    return statistics.pstdev(v) + len(set(v)) * 2\n",
    "def spread(v):\n    m = sum(v) / len(v)\n    return sum((x - m) ** 2 for x in v) ** 0.5\n",
    "def spread(v):\n    low, high = min(v), max(v)\n    while low < high - 1e-9: low += 1\n"
    "    return high - low\n",
]


def records(*codes: str) -> list[Record]:
    return [
        Record("k", f"i{n}", f"L{n}", "", "", "f", "graded", code=code)
        for n, code in enumerate(codes)
    ]


def test_a_copy_with_other_names_comes_first_and_given_code_counts_for_nothing() -> None:
    found = similar_pairs(records(*(GIVEN + code for code in (*OTHERS, COPIED, RENAMED))), GIVEN)
    assert (found[0].one, found[0].other) == ("L3", "L4")
    assert found[0].similarity > 0.9
    assert "setdefault ( round ( v , 0 )" in found[0].shared
    assert found[0].shared in " ".join(tokens(GIVEN + COPIED))
    assert all(pair.similarity < 0.3 for pair in found[1:])


def test_who_handed_in_only_what_was_given_is_like_nobody() -> None:
    assert similar_pairs(records(GIVEN, GIVEN, GIVEN), GIVEN) == []
    assert similar_pairs(records(COPIED), "") == []


def test_names_numbers_and_layout_do_not_count_but_calls_do() -> None:
    one = "def f(a):\n    # mine\n    return np.sum(a) + 1\n"
    assert tokens(one) == tokens("def g(bb): return np.sum(bb)+22")
    assert tokens(one) != tokens("def g(bb): return np.prod(bb)+22")
    assert tokens("x = (1,\n") == ["v", "=", "(", "0", ","]


def test_two_long_copies_do_not_hold_up_the_others() -> None:
    long = "x = (" + " +\n".join(f"f{n}(x)" for n in range(20_000)) + "\n)"
    started = time.process_time()
    (found,) = similar_pairs(records(long, long), "")
    assert found.shared.endswith("f19999 ( v ) )")
    assert time.process_time() - started < 10


def test_what_stands_behind_a_long_line_is_compared() -> None:
    memo = 'lab.memo("""' + 200 * "a word " + '""")\n'
    (found,) = similar_pairs(records(memo + COPIED, RENAMED), "")
    assert found.similarity > 0.9


def test_an_unclosed_quote_does_not_hold_up_the_others() -> None:
    started = time.process_time()
    similar_pairs(records("x = '" + "\\'" * 100_000, COPIED), "")
    assert time.process_time() - started < 10


def test_the_table_is_harmless(tmp_path: Path) -> None:
    pairs = similar_pairs(records(COPIED, RENAMED), "")
    path = write_pairs(tmp_path, pairs)
    assert path.read_text().startswith("learner,other,similarity,")
    assert len(path.read_text().splitlines()) == 2
