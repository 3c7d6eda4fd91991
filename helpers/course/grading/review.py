"""A page on this machine that shows one written answer at a time beside its rubric.

It listens on the loopback interface alone and answers only requests that carry the token of its
address, so no other page in the browser and no other user can read or mark. Answers reach the
page as text and are shown as text.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from helpers.course.grading.marks import MOST, Answer, Marks
from helpers.errors import CourseError

_MAX_BODY = 100_000  # bytes of one request


class ReviewServer(ThreadingHTTPServer):
    """Serves the queue of written answers on 127.0.0.1; port 0 takes a free one.

    Raises
    ------
    CourseError
        If there are no answers, or the port is taken.
    """

    daemon_threads = True

    def __init__(self, answers: Sequence[Answer], marks: Marks, port: int = 0) -> None:
        if not answers:
            raise CourseError("no submission of this run holds a written answer")
        self.answers, self.marks = answers, marks
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise CourseError(f"port {port} cannot be used: {error.strerror}") from None

    @property
    def address(self) -> str:
        """The address to open, with its token."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"

    def answer(self, number: int) -> dict[str, Any]:
        """Return one answer with its marks, as the page shows it."""
        answer = self.answers[number]
        points, comment = self.marks.of(answer)
        order = [*range(number + 1, len(self.answers)), *range(number + 1)]
        shown = {name: value for name, value in asdict(answer).items() if name != "ident"}
        return {
            **shown,
            "points": points,
            "comment": comment,
            "most": MOST,
            "count": len(self.answers),
            "complete": self.complete(),
            "open": next((n for n in order if not self._has_all(n)), number),
        }

    def complete(self) -> int:
        """Return how many answers have all their marks."""
        return sum(map(self._has_all, range(len(self.answers))))

    def _has_all(self, number: int) -> bool:
        return None not in self.marks.of(self.answers[number])[0]


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if not self._allowed(query.get("token", [""])[0] if parts.path == "/" else ""):
            self._say(403, {"problem": "open the address that the command printed"})
        elif parts.path == "/":
            nonce = secrets.token_urlsafe(12)
            self._send(200, _page(nonce).encode(), "text/html", nonce)
        elif parts.path == "/answer":
            self._try(lambda: self.server.answer(self._number(query.get("number", [""])[0])))
        else:
            self._say(404, {"problem": "there is nothing here"})

    def do_POST(self) -> None:
        if not self._allowed(""):
            self._say(403, {"problem": "open the address that the command printed"})
            return
        self._try(self._change)

    def _change(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= _MAX_BODY:
            raise CourseError(f"a request has 1 to {_MAX_BODY} bytes, not {length}")
        body = json.loads(self.rfile.read(length))
        answer = self.server.answers[self._number(body["number"])]
        if self.path == "/mark":
            self.server.marks.save(answer, self._whole(body["line"]), body["points"])
        elif self.path == "/comment":
            self.server.marks.comment(answer, str(body["text"]))
        else:
            raise CourseError("there is nothing here")
        return {"complete": self.server.complete()}

    def _allowed(self, token: str) -> bool:
        # The name in Host too: a stranger's domain may point at this machine.
        token = token or self.headers.get("X-Token", "")
        host = self.headers.get("Host", "").rpartition(":")[0]
        same = hmac.compare_digest(token.encode(), self.server.token.encode())
        return same and host in ("127.0.0.1", "localhost")

    def _number(self, value: Any) -> int:
        number = self._whole(value)
        if not 0 <= number < len(self.server.answers):
            raise CourseError(f"there is no answer {number}")
        return number

    @staticmethod
    def _whole(value: Any) -> int:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise CourseError(f"{value!r} is not a whole number") from None

    def _try(self, work: Any) -> None:
        try:
            self._say(200, work())
        except (CourseError, ValueError, KeyError, TypeError) as error:
            self._say(400, {"problem": str(error)})

    def _say(self, status: int, content: dict[str, Any]) -> None:
        self.close_connection = status != 200  # a body may be left unread
        self._send(status, json.dumps(content).encode(), "application/json", "")

    def _send(self, status: int, body: bytes, kind: str, nonce: str) -> None:
        source = f"'nonce-{nonce}'" if nonce else "'none'"
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Content-Security-Policy",
             f"default-src 'none'; script-src {source}; style-src {source}; connect-src 'self'"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Print nothing: the address holds the token."""


def _page(nonce: str) -> str:
    """Return the page, whose style and script a browser takes by their nonce alone."""
    path = files("helpers.course.grading").joinpath("templates", "review.html")
    return path.read_text("utf-8").replace("NONCE", nonce)
