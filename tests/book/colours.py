"""What axe finds on a page, and of which texts and links it has still to judge the colours.

The two rules about colours are axe's dearest by far, and most of a page is like another: tokens of
code by the thousand, the same sidebars, the same signatures. What those rules can see of a text is
in its key: tags, classes, colours and backgrounds of the element and of all around it, size and
weight of its letters, whether it shows and is broken into lines, and whether it is a text that axe
leaves undecided; of a link, moreover, its underline and border, and how much other text surrounds
it. What has a key that was judged before in the same theme is not judged again, unless another
element that has a place of its own lies over or under it. That all of one key get one verdict is
itself a test, in ``test_colours.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = ["color-contrast", "link-in-text-block"]

# Gives every element with text, and every link, a `data-key`, and `data-fresh` where it must be
# judged; returns the keys that are new, and of each element whether it shows and scrolls.
KEYS = r"""known => {
  const seen = new Set(known.split(' ')), fresh = [], chains = new Map(), clips = new Map();
  const hash = text => {  // FNV-1a, twice 32 bits
    let a = 0x811c9dc5, b = 0xc9dc5118;
    for (let i = 0; i < text.length; i++) {
      a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
      b = Math.imul(b ^ text.charCodeAt(i), 0x01000197);
    }
    return (a >>> 0).toString(36) + (b >>> 0).toString(36);
  };
  const everything = [...document.body.querySelectorAll('*')].map(
    e => [e, getComputedStyle(e), e.getBoundingClientRect()]);
  const shape = everything.map(([e, s, box]) => [
    e.cloneNode(false).outerHTML, e.textContent.trim() === '', s.display, s.visibility,
    s.opacity === '0', box.width === 0, box.height === 0, box.right + scrollX <= 0,
    box.bottom + scrollY <= 0, e.scrollWidth > e.clientWidth, e.scrollHeight > e.clientHeight,
  ].join());
  const chain = element => {
    if (!element) return '';
    if (!chains.has(element)) {
      const s = getComputedStyle(element);
      chains.set(element, hash([chain(element.parentElement), element.tagName,
        element.getAttribute('class'), s.color, s.backgroundColor, s.backgroundImage, s.opacity,
        s.filter, s.mixBlendMode, s.textShadow, s.fontSize, s.fontWeight, s.visibility, s.display,
        s.position, s.overflow, s.clipPath, s.webkitTextFillColor].join('|')));
    }
    return chains.get(element);
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
  const length = e => e.textContent.replace(/\s+/g, ' ').trim().length;
  const link = (element, s) => {
    let block = element.parentElement;
    while (getComputedStyle(block).display.startsWith('inline')) block = block.parentElement;
    const linked = [...block.querySelectorAll('a[href]')].map(length).reduce((a, b) => a + b, 0);
    return [s.textDecorationLine, s.textDecorationStyle, s.fontStyle, s.border, s.outline,
      getComputedStyle(element, '::before').content, getComputedStyle(element, '::after').content,
      length(block) > linked, length(block) > 2 * linked];
  };
  for (const [element, s, box] of everything) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3 && n.nodeValue.trim());
    const control = /^(INPUT|SELECT|TEXTAREA|BUTTON|OPTION)$/.test(element.tagName);
    const linked = element.matches('a[href]');
    if (!own.length && !control && !linked) continue;
    const [l, t, r, b] = clip(element.parentElement);
    const inside = box.left >= l && box.top >= t && box.right <= r && box.bottom <= b;
    const shows = element.checkVisibility();
    const outside = box.right <= l || box.bottom <= t || box.left >= r || box.top >= b;
    const text = own.map(n => n.nodeValue).join('').trim();
    const key = hash([chain(element), text.length === 1, /[^\u0000-\uffff]/u.test(text),
      /[\p{L}\p{N}]/u.test(text) || text,  // axe passes over punctuation, and not over all of it
      element.getClientRects().length > 1, shows, box.width * box.height > 0, inside, outside,
      element.matches(':disabled, [aria-disabled=true], [aria-hidden=true] *'),
      ...(linked ? link(element, s) : [])].join('|'));
    const touched = shows && apart.some(([e, , other]) => !e.contains(element)
      && other.left < box.right && other.right > box.left
      && other.top < box.bottom && other.bottom > box.top);
    element.dataset.key = touched || control ? '' : key;
    if (seen.has(key) && !touched && !control) continue;
    element.dataset.fresh = '';
    if (!touched && !control) { seen.add(key); fresh.push(key); }
  }
  return [fresh.join(' '), shape];
}"""

ONLY_FRESH = f"""() => axe.configure({{rules: {RULES}.map(id => ({{
  id, selector: id.startsWith('link') ? 'a[href][data-fresh]' : '[data-fresh]'}}))}})"""


class Survey(NamedTuple):
    """Whether there is anything to judge on a page, and how each of its elements shows."""

    fresh: bool
    shape: list[str]


def survey(tab: Page, known: set[str]) -> Survey:
    """Load axe into a page, mark with ``data-fresh`` what it must judge, and add the keys."""
    tab.evaluate(AXE_SCRIPT)
    fresh, shape = tab.evaluate(KEYS, " ".join(known))
    known.update(fresh.split())
    return Survey(bool(tab.locator("[data-fresh]").count()), shape)


def violations(tab: Page, structure: bool = True, fresh: bool = True) -> list[str]:
    """Return what axe finds: the rules of `structure`, and those of colours for what is `fresh`.

    The page has been surveyed.
    """
    if not structure and not fresh:
        return []
    options: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
    if not structure:
        options["runOnly"] = {"type": "rule", "values": RULES}
    tab.evaluate(ONLY_FRESH)
    found = tab.evaluate("async options => (await axe.run(options)).violations", options)
    return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]
