from __future__ import annotations

from html.parser import HTMLParser

from helpers.course.cards import REPORT_MIME, notice, report_card, verdict_card
from helpers.course.tasks import Verdict

EVIL = '<script>alert("x")</script><img src=x onerror=y>'


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_of_a_learner_is_escaped_wherever_it_is_shown() -> None:
    verdict = Verdict("q1", EVIL, "mismatch", 0, 1, EVIL, EVIL, EVIL, EVIL, EVIL)
    for card in (
        verdict_card(verdict, EVIL),
        notice(EVIL, EVIL),
        report_card(EVIL, [verdict], [EVIL], {}),
    ):
        page = Tags(card._repr_html_())
        assert page.seen <= {"div", "span", "strong", "em"}
        assert EVIL in page.text


def test_a_verdict_is_told_in_words_and_not_by_colour_alone() -> None:
    texts = set()
    for status in ("passed", "mismatch", "error", "not attempted"):
        verdict = Verdict("q1", "a", status, 0, 1)
        texts.add(Tags(verdict_card(verdict)._repr_html_()).text)
    assert len(texts) == 4


def test_the_report_travels_as_data_beside_its_picture() -> None:
    bundle = report_card("T", [], [], {"points": 0})._repr_mimebundle_()
    assert bundle[REPORT_MIME] == {"points": 0}
    assert {"text/plain", "text/html"} <= bundle.keys()


def test_the_report_uses_the_words_of_the_checks() -> None:
    verdicts = [Verdict("q1", "a", "mismatch", 0, 1), Verdict("q2", "b", "error", 0, 1)]
    report = repr(report_card("T", verdicts, [], {}))
    assert "a: not right yet, 0 of 1 point" in report
    assert "b: stopped before it gave a result, 0 of 1 point" in report
    assert "mismatch" not in report
