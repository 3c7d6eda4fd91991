"""What axe finds on a page, and of which texts it has still to measure the contrast.

Contrast is axe's dearest rule by far, four fifths of its time, and most of a page is like another:
tokens of code by the thousand, the same sidebars, the same signatures. What the rule can see of a
text is in its key: tags, classes, colours and backgrounds of the element and of all around it, size
and weight of its letters, whether it shows and is broken into lines, and whether it is a text that
axe leaves undecided. A text whose key was measured before, on whatever page, is not measured again,
unless the region in which it scrolls cuts it off, or another element that has a place of its own
lies over or under it. That texts of one key get one verdict is itself a test, in
``test_colours.py``.
"""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# The rules that see colours.
RULES = ["color-contrast", "link-in-text-block"]

# Gives every element with text a `data-key`, and `data-fresh` where it must be measured; returns
# the keys that are new, and of each element whether it shows and scrolls.
KEYS = r"""known => {
  for (const e of document.querySelectorAll('[data-key]')) {
    delete e.dataset.key;
    delete e.dataset.fresh;
  }
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
    e.cloneNode(false).outerHTML, e.parentElement.tagName, e.parentElement.role,
    e.textContent.trim() === '', s.display, s.visibility,
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
  for (const [element, , box] of everything) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3 && n.nodeValue.trim());
    const control = /^(INPUT|SELECT|TEXTAREA|BUTTON|OPTION)$/.test(element.tagName);
    if (!own.length && !control) continue;
    const [l, t, r, b] = clip(element.parentElement);
    const inside = box.left >= l && box.top >= t && box.right <= r && box.bottom <= b;
    const shows = element.checkVisibility();
    const outside = [box.right <= l, box.bottom <= t, box.left >= r, box.top >= b];
    const text = own.map(n => n.nodeValue).join('').trim();
    const key = hash([chain(element), text.length === 1, /[^\u0000-\uffff]/u.test(text),
      /[\p{L}\p{N}]/u.test(text) || text,  // axe passes over punctuation, and not over all of it
      element.getClientRects().length > 1, shows, box.width * box.height > 0, inside, ...outside,
      element.matches(':disabled, [aria-disabled=true], [aria-hidden=true] *')].join('|'));
    const partly = !inside && !outside.includes(true);  // axe decides by what it can see of it
    const touched = shows && (partly || apart.some(([e, , other]) => other.left < box.right
      && other.right > box.left && other.top < box.bottom && other.bottom > box.top
      && !e.contains(element)));
    element.dataset.key = touched || control ? '' : key;
    if (seen.has(key) && !touched && !control) continue;
    element.dataset.fresh = '';
    if (!touched && !control) { seen.add(key); fresh.push(key); }
  }
  return [fresh.join(' '), shape];
}"""

ONLY_FRESH = "axe.configure({rules: [{id: 'color-contrast', selector: '[data-fresh]'}]})"


def survey(tab: Page, known: set[str]) -> list[str]:
    """Load axe into a page, mark with ``data-fresh`` what it must measure, and add its keys.

    Returns how each element of the page shows, so that two themes can be compared.
    """
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE_SCRIPT)
    fresh, shape = tab.evaluate(KEYS, " ".join(known))
    known.update(fresh.split())
    return list(shape)


def violations(tab: Page, structure: bool = True) -> list[str]:
    """Return what axe finds on a page that was surveyed, by all rules or those of colours."""
    options: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
    if not structure:
        options["runOnly"] = {"type": "rule", "values": RULES}
    tab.evaluate(ONLY_FRESH)
    found = tab.evaluate("async options => (await axe.run(options)).violations", options)
    return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]
