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
from typing import Any
from urllib.parse import parse_qs, urlsplit

from helpers.course.grading.marks import MOST, Answer, Marks
from helpers.errors import CourseError

_MAX_BODY = 100_000  # bytes of one request
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Written answers</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style nonce="NONCE">
:root { color-scheme: light dark; --page: #fff; --ink: #111; --box: #f3f3f3; --mark: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #141414; --ink: #eee; --box: #222; --mark: #56b4e9; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem;
  background: var(--page); color: var(--ink); }
#both { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.5rem; }
@media (max-width: 50rem) { #both { display: block; } }
#text { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box); padding: 1rem; }
li { padding: .3rem .5rem; border-left: .4rem solid transparent; }
li.here { border-left-color: var(--mark); background: var(--box); }
button { font: inherit; min-width: 2.75rem; min-height: 2.25rem; }
button[aria-pressed=true] { font-weight: bold; background: #0072b2; color: white; }
textarea { width: 100%; box-sizing: border-box; font: inherit; }
:focus-visible { outline: .2rem solid var(--mark); outline-offset: .15rem; }
kbd { border: 1px solid currentColor; border-radius: 3px; padding: 0 .3rem; }
dialog { background: var(--page); color: var(--ink); max-width: 30rem; }
dt { float: left; clear: left; width: 5.5rem; } dd { margin: 0 0 .3rem 6rem; }
</style></head><body><main>
<h1 id="title">Written answers</h1><p id="where" role="status"></p>
<div id="both"><section aria-label="Answer"><div id="text"></div></section>
<section aria-label="Rubric"><ol id="rubric"></ol>
<label>Comment<textarea id="comment" rows="4"></textarea></label>
<p id="saved" role="status"></p>
<p><button id="before">Previous</button> <button id="next">Next</button>
<button id="undo">Undo</button> <button id="keys">Keys (?)</button></p></section></div>
<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2><dl>
<dt><kbd>0</kbd> <kbd>1</kbd> <kbd>2</kbd><dd>not met, in part, met; then the next line
<dt><kbd>x</kbd><dd>take the mark of this line back
<dt><kbd>z</kbd><dd>undo the last mark, wherever it was
<dt><kbd>j</kbd> <kbd>k</kbd><dd>next line, line before
<dt><kbd>n</kbd> <kbd>p</kbd><dd>next answer, answer before
<dt><kbd>u</kbd><dd>next answer without all marks
<dt><kbd>c</kbd><dd>write a comment; <kbd>Esc</kbd> leaves it
<dt><kbd>?</kbd><dd>this list; <kbd>Esc</kbd> closes it</dl>
<form method="dialog"><button>Close</button></form></dialog></main>
<script nonce="NONCE">
const token = new URLSearchParams(location.search).get("token"), at = {answer: 0, line: 0};
const done = [];  // marks given here, to be undone
let item = null, work = Promise.resolve(), unsaved = null, timer = 0;
const find = id => document.getElementById(id);
// One thing after another: who types fast must not mark a line that is gone.
const then = step => { work = work.then(step).catch(error => {
  find("saved").textContent = `Not saved: ${error.message}`; }); };
async function ask(path, body, more = {}) {
  const options = body ? {method: "POST", body: JSON.stringify(body), ...more} : {};
  options.headers = {"X-Token": token, "Content-Type": "application/json"};
  const reply = await fetch(path, options), data = await reply.json();
  if (!reply.ok) throw new Error(data.problem);
  return data;
}
function draw() {
  const focused = document.activeElement.id;
  find("title").textContent = item.title;
  find("where").textContent = `${item.learner || "Answer"} · ${at.answer + 1} of ${item.count}` +
    ` · ${item.complete} with all marks`;
  find("text").textContent = item.text;
  find("rubric").replaceChildren(...item.rubric.map((text, line) => {
    const entry = document.createElement("li"), words = document.createElement("div");
    words.textContent = text;
    entry.append(words);
    if (line === at.line) { entry.className = "here"; entry.setAttribute("aria-current", "true"); }
    for (let points = 0; points <= item.most; points++) {
      const button = document.createElement("button");
      button.id = `line-${line}-${points}`;
      button.textContent = points;
      button.setAttribute("aria-label", `line ${line + 1}: ${points} points`);
      button.setAttribute("aria-pressed", item.points[line] === points);
      button.onclick = () => then(() => { at.line = line; return mark(points); });
      entry.append(button, " ");
    }
    return entry;
  }));
  if (focused.startsWith("line-")) find(focused)?.focus();
  document.querySelector("li.here")?.scrollIntoView({block: "nearest"});
}
async function show(answer) {
  await keep();
  item = await ask(`/answer?number=${answer}`);
  at.answer = answer; at.line = 0;
  history.replaceState(null, "", `#${answer + 1}`);
  find("comment").value = item.comment; find("saved").textContent = "";
  scrollTo(0, 0);
  draw();
}
async function put(line, points) {
  const reply = await ask("/mark", {number: at.answer, line, points});
  item.points[line] = points; item.complete = reply.complete;
  find("saved").textContent = "Saved";
}
async function mark(points) {
  const line = at.line, before = item.points[line];
  await put(line, points);
  done.push({answer: at.answer, line, before});
  if (points !== null) at.line = Math.min(line + 1, item.rubric.length - 1);
  draw();
}
async function undo() {
  const last = done.pop();
  if (!last) { find("saved").textContent = "There is nothing to undo"; return; }
  if (last.answer !== at.answer) await show(last.answer);
  at.line = last.line;
  await put(last.line, last.before);
  find("saved").textContent = `Line ${last.line + 1} is as it was before`;
  draw();
}
async function keep(more) {
  clearTimeout(timer);
  if (!unsaved) return;
  const comment = unsaved;
  unsaved = null;
  await ask("/comment", comment, more);
  find("saved").textContent = "Saved";
}
const by = step => then(() => show(Math.min(Math.max(at.answer + step, 0), item.count - 1)));
const line = step => then(() => {
  at.line = Math.min(Math.max(at.line + step, 0), item.rubric.length - 1); draw(); });
find("comment").oninput = event => {
  unsaved = {number: at.answer, text: event.target.value};
  find("saved").textContent = "";
  clearTimeout(timer);
  timer = setTimeout(() => then(keep), 400);
};
find("comment").onchange = () => then(keep);
addEventListener("pagehide", () => keep({keepalive: true}));
find("before").onclick = () => by(-1);
find("next").onclick = () => by(1);
find("undo").onclick = () => then(undo);
find("keys").onclick = () => find("help").showModal();
document.addEventListener("keydown", event => {
  if (find("help").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "comment") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key;
  if (/^[0-9]$/.test(key) && !event.repeat) then(() => +key <= item.most && mark(+key));
  else if (key === "x") then(() => mark(null));
  else if (key === "z") then(undo);
  else if (key === "j") line(1);
  else if (key === "k") line(-1);
  else if (key === "n") by(1);
  else if (key === "p") by(-1);
  else if (key === "u") then(() => show(item.open));
  else if (key === "?") find("help").showModal();
  else if (key === "c") { then(() => find("comment").focus()); event.preventDefault(); }
});
then(async () => {
  const wanted = Number.parseInt(location.hash.slice(1)) - 1;
  await show(0);
  if (wanted > 0 && wanted < item.count) await show(wanted);
});
</script></body></html>
"""


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
            self._send(200, _PAGE.replace("NONCE", nonce).encode(), "text/html", nonce)
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
