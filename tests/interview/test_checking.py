"""The check of the bank finds what it says it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.errors import InterviewError
from helpers.interview import (
    Outside,
    Question,
    load_question,
    near_duplicates,
    prepare,
    problems_of,
)
from helpers.interview.question import Compute

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("two-scorers-and-an-order", "chapters: [threat-modelling]", "chapters: [threat-modeling]",
         "did you mean 'threat-modelling'"),
        ("epsilon-of-a-run", "labs: [02-train-under", "labs: [2-train-under", "no lab"),
        ("epsilon-of-a-run", "function: share", "function: shares", "did you mean 'share'"),
        ("epsilon-of-a-run", "whole: 60000}", "hole: 60000}", "missing a required argument"),
        ("epsilon-of-a-run", "whole: 60000}", "whole: many}", "must be of type float"),
        ("epsilon-of-a-run", "{{rate:.4f}}", "{{rat:.4f}}", "did you mean 'rate'"),
        ("epsilon-of-a-run", "{{rate:.4f}}", "small", "no text shows rate"),
        ("epsilon-of-a-run", "{{rate:.4f}}", "{{rate:.4q}}", "no number format"),
        ("epsilon-of-a-run", "steps: 1, delta", "steps: 3515, delta", "counts as right"),
        ("what-server-tls-leaves-open", "right: yes", "right: no", "a choice has one right"),
        ("the-speakers-flash", "right: yes, rule: flash-read-out",
         "right: no, rule: flash-read-out", "helpers.threats finds 'flash-read-out'"),
        ("the-speakers-flash", "right: no, rule: extraction", "right: yes, rule: extraction",
         "helpers.threats does not find 'extraction'"),
        ("the-speakers-flash", "target: flash", "target: flashes", "flashes"),
        ("write-a-trimmed-mean", "sum(kept) / len(kept)", "sum(kept)", "does not pass"),
        ("write-a-trimmed-mean", "raise NotImplementedError", "return 2.5", "the stub passes"),
        ("write-a-trimmed-mean", "reference: trimmed_mean", "reference: trim_mean", "did you mean"),
        ("noise-on-a-count", "answer: |\n  One", "answer: |\n  Yes.\nalso: |\n  One", ""),
    ],
)  # fmt: skip
def test_a_fault_is_found(
    write: Write, outside: Outside, name: str, old: str, new: str, said: str
) -> None:
    path = write(name, old, new)
    try:
        problems = problems_of(load_question(path), outside)
    except InterviewError as error:
        problems = [str(error)]
    assert problems
    assert said in "\n".join(problems)


def test_a_short_answer_and_a_thin_rubric_are_found(bank: Any, outside: Outside) -> None:
    question = bank["lens-flare"]
    thin = replace(question, answer="It depends.", rubric=question.rubric[:1], follow_ups=())
    found = "\n".join(problems_of(thin, outside))
    for said in ("the answer has 2 words", "rubric has 1 points", "follow_ups has 0"):
        assert said in found


def test_numbers_are_computed_and_shown(bank: Any, outside: Outside) -> None:
    question = bank["noise-on-a-count"]
    assert question.numeric.value is None
    prepared = prepare(question, outside.calculate)
    assert prepared.numeric is not None
    assert prepared.numeric.value == pytest.approx(5 * 2.995732, rel=1e-6)  # 5 ln 20
    assert "15.0 patients" in prepared.answer
    assert "{{" not in prepared.answer + "".join(f.answer for f in prepared.follow_ups)


def test_a_number_that_is_none_is_refused(bank: Any, outside: Outside) -> None:
    bad = replace(
        bank["noise-on-a-count"],
        values={"rows": Compute("krum_choice", {"updates": [[1.0], [1.0], [1.0]], "byzantine": 0})},
    )
    with pytest.raises(InterviewError, match="gives no number"):
        prepare(bad, outside.calculate)


PARAPHRASES = {
    "noise-on-a-count": (
        "The error of a private count",
        "A clinic answers count queries, each with Laplace noise at ε = 0.5. A patient is a row.",
        "With a probability of 90%, within how many patients of the true count is the answer?",
    ),
    "bytes-of-a-training": (
        "The network bill of a federated training",
        "A keyboard model has 2 million float32 weights. In each round 100 phones receive the "
        "model, train, and send their weights back. 500 rounds are planned. To save upload, phones "
        "send int8, one byte a weight, and still receive float32.",
        "How many gigabytes of model data cross the network in both directions together?",
    ),
    "what-server-tls-leaves-open": (
        "What a server certificate does not give you",
        "Five banks send updates over TLS 1.3 to a training server. The banks check the server's "
        "certificate and show none themselves.",
        "An attacker from outside can reach the server's address on the network. Which of these "
        "can it do that mutual TLS would stop?",
    ),
}


@pytest.mark.parametrize("name", PARAPHRASES)
def test_a_planted_paraphrase_is_caught(bank: dict[str, Question], name: str) -> None:
    title, scenario, question = PARAPHRASES[name]
    planted = replace(bank[name], id="planted", title=title, scenario=scenario, question=question)
    caught = near_duplicates([*bank.values(), planted])
    assert [(pair.one, pair.other) for pair in caught] == [("planted", name)]
