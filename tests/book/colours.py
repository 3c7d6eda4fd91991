"""What axe finds on a page, and of which texts it has still to measure the colours.

Contrast is axe's dearest rule by far, four fifths of its time, even for a single text, and most of
a page is like another: tokens of code by the thousand, the same sidebars, the same buttons. What
the rule can see of a text is in its key: tags, classes, colours and backgrounds of the element and
of all around it, size and weight of its letters, whether it shows and is broken into lines, what
else has a place of its own over or under it, and whether it is a text that axe leaves undecided. A
text whose key was measured before, on whatever page, is not measured again. That texts of one key
get one verdict is itself a test, in ``test_colours.py``. Of a text that scrolls half out of view
axe may decide nothing; it is measured unless the same text was, whole.

The other rule that sees colours is about links in the midst of a text. One that is underlined,
where the text is not, passes it. The others have keys too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# The rules that see colours.
RULES = ["color-contrast", "link-in-text-block"]

# FNV-1a, twice 32 bits.
HASH = """const hash = text => {
  let a = 0x811c9dc5, b = 0xc9dc5118;
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(i), 0x01000197);
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36);
};
"""

# Gives every element with text a `data-key`, and `data-fresh` where it must be measured; to links
# that must be, `data-fresh-link`. Returns the keys that are new, and whether any text and any link
# has to be measured.
KEYS = (
    "known => {"
    + HASH
    + r"""
  for (const e of document.querySelectorAll('[data-key], [data-fresh-link]')) {
    for (const name of ['key', 'fresh', 'freshLink']) delete e.dataset[name];
  }
  const seen = new Set(known.split(' ')), found = [], grounds = new Map(), clips = new Map();
  const NOTHING = [['backgroundImage', 'none'], ['opacity', '1'], ['filter', 'none'],
    ['mixBlendMode', 'normal'], ['position', 'static'], ['overflow', 'visible'],
    ['clip', 'auto'], ['clipPath', 'none'], ['visibility', 'visible'], ['zIndex', 'auto']];
  const WORDS = [false, false, true];
  const LETTERS = ['color', 'webkitTextFillColor', 'textShadow', 'fontSize', 'fontWeight'];
  const first = key => !seen.has(key) && (seen.add(key), found.push(key));
  const everything = [...document.body.querySelectorAll('*')].map(
    e => [e, getComputedStyle(e), e.getBoundingClientRect()]);
  // What an element and all around it lay behind a text; what lays nothing there is passed over.
  const ground = element => {
    if (!element) return '';
    if (!grounds.has(element)) {
      const s = getComputedStyle(element), below = ground(element.parentElement);
      const layer = [/, 0\)$/.test(s.backgroundColor) ? '' : s.backgroundColor];
      for (const [name, nothing] of NOTHING) layer.push(s[name] === nothing ? '' : s[name]);
      for (const pseudo of ['::before', '::after']) {
        const p = getComputedStyle(element, pseudo);
        layer.push(/^(none|normal)$/.test(p.content) ? ''
          : [p.backgroundColor, p.backgroundImage, p.position].join());
      }
      grounds.set(element, layer.some(part => part) ? hash([below, ...layer].join('|')) : below);
    }
    return grounds.get(element);
  };
  const clip = element => {  // what its scrolling ancestors let one see
    if (!element) return [-Infinity, -Infinity, Infinity, Infinity];
    if (!clips.has(element)) {
      const [l, t, r, b] = clip(element.parentElement), box = element.getBoundingClientRect();
      clips.set(element, getComputedStyle(element).overflow === 'visible' ? [l, t, r, b] : [
        Math.max(l, box.left), Math.max(t, box.top),
        Math.min(r, box.right), Math.min(b, box.bottom)]);
    }
    return clips.get(element);
  };
  const apart = everything.filter(([e, s, box]) =>
    box.width * box.height > 0 && s.visibility === 'visible'
      && (s.position !== 'static' || s.float !== 'none' || s.transform !== 'none'
        || s.display.startsWith('inline-'))
      && (s.backgroundImage !== 'none' || !/, 0\)$|transparent/.test(s.backgroundColor)
        || /^(IMG|SVG|CANVAS|VIDEO|IFRAME)$/i.test(e.tagName)) && e.checkVisibility());
  const meets = (one, other) => other.left < one.right && other.right > one.left
    && other.top < one.bottom && other.bottom > one.top;
  const bands = new Map(), bandsOf = box => {  // what stands apart, by where it is down the page
    const count = Math.floor(box.bottom / 400) - Math.floor(box.top / 400) + 1;
    return Array.from({length: count}, (_, i) => Math.floor(box.top / 400) + i);
  };
  apart.forEach((item, i) => bandsOf(item[2]).forEach(
    band => bands.has(band) ? bands.get(band).add(i) : bands.set(band, new Set([i]))));
  const near = box => [...new Set(bandsOf(box).flatMap(band => [...bands.get(band) ?? []]))]
    .sort((i, j) => i - j).map(i => apart[i]);
  const middle = box => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const around = (element, own, box) => {  // what lies over or under an element, and over its text
    const others = near(box).filter(([e, , other]) => meets(box, other) && !e.contains(element));
    if (!others.length) return '';
    const range = document.createRange();
    const boxes = own.flatMap(n => (range.selectNodeContents(n), [...range.getClientRects()]));
    const middles = (boxes.length ? boxes : [box]).map(middle);
    return others.map(([e, , o]) => {
      const over = middles.filter(([x, y]) => x >= o.left && x <= o.right && y >= o.top
        && y <= o.bottom).length;
      return [ground(e), element.compareDocumentPosition(e), over > 0,
        over === middles.length].join();
    }).join(';');
  };
  let texts = false, links = false;
  for (const [element, , box] of everything) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3 && n.nodeValue.trim());
    const control = /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName);
    if (!own.length && !control) continue;
    // Axe measures what shows. Of formulas, what is there for those who listen does not.
    if (!element.checkVisibility() || box.width * box.height === 0
      || element.closest('mjx-assistive-mml')) continue;
    const [l, t, r, b] = clip(element.parentElement);
    const inside = box.left >= l && box.top >= t && box.right <= r && box.bottom <= b;
    const outside = [box.right <= l, box.bottom <= t, box.left >= r, box.top >= b];
    const partly = !inside && !outside.includes(true);  // axe judges by what it can see of it
    const text = own.map(n => n.nodeValue).join('').trim(), s = getComputedStyle(element);
    const keyOf = glyphs => hash([ground(element), ...LETTERS.map(name => s[name]), ...glyphs,
      element.getClientRects().length > 1, inside || partly, ...outside,
      element.matches(':disabled, [aria-disabled=true], [aria-hidden=true] *'),
      control && [element.type, element.value && 'filled', element.placeholder && 'hinted'],
      around(element, own, box)].join('|'));
    // Axe passes over some signs and some single letters. Words so printed say enough for those.
    const glyphs = [text.length === 1, /[^\u0000-\uffff]/u.test(text),
      /[\p{L}\p{N}]/u.test(text) || text];
    const words = glyphs.join() === WORDS.join(), key = keyOf(glyphs);
    const enough = (partly || !words) && seen.has(keyOf(WORDS));
    element.dataset.key = partly ? '' : key;
    if (!enough && (partly ? !seen.has(key) : first(key))) {
      element.dataset.fresh = '';
      texts = true;
    }
  }
  const inline = e => /^(inline|contents)$/.test(getComputedStyle(e).display);
  const styles = [...LETTERS, 'textDecoration', 'fontFamily', 'fontStyle', 'borderTop',
    'borderBottom', 'outline'];
  for (const link of document.querySelectorAll('a[href]')) {
    if (!inline(link) || !link.checkVisibility()) continue;
    const line = [link];  // the link, and all around it up to the block that it stands in
    while (inline(line.at(-1)) && line.at(-1).parentElement) line.push(line.at(-1).parentElement);
    const lines = line.map(e => getComputedStyle(e).textDecorationLine);
    if (lines[0] !== 'none' && lines.slice(1).every(other => other === 'none')) continue;
    const block = line.at(-1), all = [...block.querySelectorAll('a[href]')];
    const length = e => e.textContent.replace(/\s+/g, ' ').trim().length;
    const words = length(block) - all.reduce((sum, e) => sum + length(e), 0);
    const simple = !block.querySelector('br, hr, button, select, input, textarea');
    const key = 'a' + hash([ground(link), words > length(link), words > 0,
      ...line.flatMap(e => styles.map(name => getComputedStyle(e)[name]))].join('|'));
    if (simple && !first(key)) continue;
    link.dataset.freshLink = '';
    links = true;
  }
  return [found.join(' '), texts, links];
}"""
)

# Takes out of the page the pieces of text of which axe can say nothing: runs of plain spans, which
# show as what they stand in, most of all tokens of code. `unfold` puts them back.
FOLD = """() => {
  const plain = e => {
    if (e.nodeType === 3) return true;
    if (e.localName !== 'span' || !e.firstChild) return false;
    if ([...e.attributes].some(a => a.name !== 'class' && a.name !== 'data-key')) return false;
    const s = getComputedStyle(e), around = getComputedStyle(e.parentElement);
    return s.display === 'inline' && s.position === 'static' && s.opacity === '1'
      && s.visibility === around.visibility && s.font === around.font
      && [...e.childNodes].every(plain);
  };
  const runs = [], fold = element => {
    let run = [];
    for (const node of [...element.childNodes, null]) {
      if (node && plain(node)) run.push(node);
      else {
        if (run.some(n => n.nodeType === 1)) runs.push(run);
        run = [];
        if (node && node.nodeType === 1) fold(node);
      }
    }
  };
  fold(document.body);
  const folded = runs.map(run => {
    const text = document.createTextNode(run.map(n => n.textContent).join(''));
    run[0].before(text);
    run.forEach(n => n.remove());
    return [text, run];
  });
  window.unfold = () => folded.forEach(([text, run]) => text.replaceWith(...run));
}"""

RUN = f"""async options => {{
  axe.configure({{rules: [
    {{id: 'color-contrast', selector: '[data-fresh]'}},
    {{id: 'link-in-text-block', selector: '[data-fresh-link]'}},
  ]}});
  ({FOLD})();
  try {{
    return (await axe.run(options)).violations;
  }} finally {{
    unfold();
  }}
}}"""


def survey(tab: Page, known: set[str]) -> list[str]:
    """Mark in a page what must be measured, add its keys, and return the rules to measure it by."""
    found, texts, links = tab.evaluate(KEYS, " ".join(known))
    known.update(found.split())
    return [rule for rule, fresh in zip(RULES, (texts, links), strict=True) if fresh]


def violations(tab: Page, rules: Sequence[str], structure: bool = True) -> list[str]:
    """Return what axe finds on a page that was surveyed.

    By some of the rules that see colours, and by all others where `structure` says so.
    """
    if not (rules or structure):
        return []
    options: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
    if structure:
        options["rules"] = {rule: {"enabled": rule in rules} for rule in RULES}
    else:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE_SCRIPT)
    found = tab.evaluate(RUN, options)
    return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]
