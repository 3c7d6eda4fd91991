"""A question as Markdown: for a terminal, a notebook and the book."""

from __future__ import annotations

from helpers.interview.question import Question
from helpers.interview.sitting import LETTERS


def asked(question: Question) -> str:
    """Return what the candidate is shown before the answer: prompt, options or stub."""
    parts = [question.prompt]
    if question.options:
        pairs = zip(LETTERS, question.options, strict=False)
        parts.append("\n".join(f"- **{letter}** {option.text}" for letter, option in pairs))
    if question.code:
        parts.append(f"```python\n{question.code.stub}\n```")
    if question.numeric and question.numeric.unit != "1":
        parts.append(f"Answer in {question.numeric.unit}.")
    return "\n\n".join(parts)


def answered(question: Question) -> str:
    """Return the model answer, without heading: number, options with reasons, solution, text."""
    parts = []
    if question.numeric and question.numeric.value is not None:
        unit = "" if question.numeric.unit == "1" else f" {question.numeric.unit}"
        within = f"within {100 * question.numeric.tolerance:g}%"
        parts.append(f"**{question.numeric.value:.4g}{unit}** ({within} counts as right)")
    if question.options:
        pairs = zip(LETTERS, question.options, strict=False)
        lines = [
            f"- **{letter}** {'right' if option.right else 'not'}: {option.why}"
            for letter, option in pairs
        ]
        parts.append("\n".join(lines))
    if question.code:
        parts.append(f"```python\n{question.code.solution}\n```")
    parts.append(question.answer)
    return "\n\n".join(parts)


def rubric(question: Question) -> str:
    """Return the rubric as a numbered list, each point with its weight."""
    return "\n".join(
        f"{number}. {point.text} *({point.weight})*"
        for number, point in enumerate(question.rubric, 1)
    )


def as_markdown(question: Question, with_answer: bool) -> str:
    """Return a whole question; with or without what only an answer may follow."""
    text = f"**{question.title}**\n\n{asked(question)}"
    if not with_answer:
        return text
    parts = [
        text,
        f"**Model answer**\n\n{answered(question)}",
        f"**Rubric**\n\n{rubric(question)}",
        f"**What a wrong answer sounds like**\n\n{question.wrong_answer}",
        f"**The mistake**\n\n{question.mistake}",
    ]
    for number, follow_up in enumerate(question.follow_ups, 1):
        parts.append(f"**Follow-up {number}** {follow_up.question}\n\n{follow_up.answer}")
    return "\n\n".join(parts)
