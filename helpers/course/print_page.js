// Make a page of the book ready for paper: everything open, drawn, loaded, and inside the margins.
// `pages` has the number of the page on which a link's target is printed, where that is known.
// Return its headings (level, words, id), and whether it has room for such numbers.
async (pages) => {
  const PAPER = 0.7; // a figure is drawn for a screen: its letters are larger than those of the text
  const BLOCK = 260; // CSS pixels; what is lower than that is not divided
  const WIDE = { width: 971, height: 600, scale: 0.6 }; // a page on its side; what needs one

  const article = document.querySelector(".bd-article") || document.body;
  document.documentElement.dataset.theme = "light";
  document.documentElement.dataset.mode = "light";
  article.querySelectorAll("details:not(.above-input)").forEach((box) => { box.open = true; });
  const images = [...document.images];
  images.forEach((image) => { image.loading = "eager"; });
  await Promise.all(images.map((image) => image.decode().catch(() => undefined)));
  article.querySelectorAll(".cell_output img").forEach((image) => {
    if (!image.style.width) image.style.width = `${PAPER * image.naturalWidth}px`;
  });
  if (window.MathJax && window.MathJax.startup) await window.MathJax.startup.promise;
  await document.fonts.ready;

  // A page within the page becomes a part of it: a window would show its beginning only.
  article.querySelectorAll("iframe[srcdoc]").forEach((frame) => {
    const box = document.createElement("div");
    const within = frame.contentDocument;
    const styles = [...within.querySelectorAll("style")].map((style) => {
      const own = document.createElement("style");
      own.textContent = style.textContent.replace(/\b(html|body)\b(?=\s*[{,])/g, ":host");
      return own;
    });
    box.style.cssText = `border: ${frame.style.border}; zoom: ${PAPER}`;
    const rules = document.createElement("style");
    rules.textContent = "h1, h2, h3, dt { break-after: avoid } tr { break-inside: avoid }";
    box.attachShadow({ mode: "open" }).append(...styles, rules, ...within.body.childNodes);
    frame.replaceWith(box);
  });

  // A list of questions says on which page each is answered.
  const listed = [...article.querySelectorAll(".question-list li")];
  listed.forEach((line) => {
    const number = document.createElement("span");
    number.className = "on-page";
    number.textContent = pages[line.querySelector("a").href] ?? "";
    line.append(number);
  });

  // A drawing whose letters would become too small lies on its side, on a page of its own.
  const edge = article.getBoundingClientRect().right;
  article.querySelectorAll("svg[width]").forEach((drawing) => {
    const { width, height } = drawing.getBoundingClientRect();
    const column = edge - article.getBoundingClientRect().left;
    if (column / width < WIDE.scale && width > height) {
      const box = drawing.closest(".output") || drawing.parentElement;
      box.classList.add("wide");
      drawing.style.zoom = Math.min(1, WIDE.width / width, WIDE.height / height);
    }
  });

  // Short cells stay on one line where the table has the room.
  const overflow = (box) => {
    const place = box.getBoundingClientRect();
    const width = Math.max(place.width, box.scrollWidth);
    return place.left + width > edge + 1 ? (edge - place.left) / width : 1;
  };
  article.querySelectorAll("table").forEach((table) => {
    const cells = [...table.querySelectorAll("th, td")].filter((cell) => cell.textContent.trim().length <= 16);
    const before = table.offsetHeight;
    cells.forEach((cell) => cell.classList.add("keep"));
    if (overflow(table) < 1 || table.offsetHeight > before) cells.forEach((cell) => cell.classList.remove("keep"));
  });
  // What is wider than the column shrinks until it fits.
  article.querySelectorAll("table, pre, svg, mjx-container").forEach((box) => {
    const fits = overflow(box);
    if (fits < 1 && !box.closest(".wide")) box.style.zoom = Math.max(0.3, fits);
  });

  // What is low is not divided; what is high must be, or it leaves a hole before it.
  const blocks = ".cell_input, pre, table, .admonition, .answer, .output.text_html > div";
  article.querySelectorAll(blocks).forEach((box) => {
    if (box.getBoundingClientRect().height < BLOCK) box.classList.add("keep");
  });

  // A section may begin at the foot of the page before its heading: its names go to the heading.
  const places = new Map();
  article.querySelectorAll("section[id]").forEach((section) => {
    const heading = section.querySelector(":scope > :is(h1, h2, h3, h4, h5, h6)");
    if (!heading) return;
    section.querySelectorAll(":scope > span[id]:empty").forEach((name) => heading.prepend(name));
    places.set(heading, section.id);
    heading.id = section.id;
    section.removeAttribute("id");
  });

  // Chromium notes the place of an element in the PDF only if a link on the same page leads there.
  const anchors = document.createElement("div");
  anchors.style.display = "none";
  article.querySelectorAll("[id]").forEach((target) => {
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(target.id)}`;
    anchors.append(link);
  });
  document.body.append(anchors);

  const headings = [...article.querySelectorAll("h1, h2, h3")].flatMap((heading) => {
    const words = heading.cloneNode(true);
    words.querySelectorAll(".headerlink").forEach((link) => link.remove());
    const name = places.get(heading);
    return name ? [[Number(heading.tagName[1]) - 1, words.textContent.trim(), name]] : [];
  });
  return { headings, numbered: listed.length > 0 };
}
