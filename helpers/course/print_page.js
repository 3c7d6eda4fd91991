// Make a page of the book ready for paper: everything open, drawn, loaded, and inside the margins.
// Return its headings: level, words, id.
async () => {
  const article = document.querySelector(".bd-article") || document.body;
  document.documentElement.dataset.theme = "light";
  document.documentElement.dataset.mode = "light";
  article.querySelectorAll("details:not(.above-input)").forEach((box) => { box.open = true; });
  const images = [...document.images];
  images.forEach((image) => { image.loading = "eager"; });
  await Promise.all(images.map((image) => image.decode().catch(() => undefined)));
  if (window.MathJax && window.MathJax.startup) await window.MathJax.startup.promise;
  await document.fonts.ready;

  // What is wider than the column shrinks until it fits.
  const edge = article.getBoundingClientRect().right;
  article.querySelectorAll("table, pre, svg, mjx-container").forEach((box) => {
    const place = box.getBoundingClientRect();
    const width = Math.max(place.width, box.scrollWidth);
    if (width && place.left + width > edge + 1) {
      box.style.zoom = Math.max(0.3, (edge - place.left) / width);
    }
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

  return [...article.querySelectorAll("h1, h2, h3")].flatMap((heading) => {
    const words = heading.cloneNode(true);
    words.querySelectorAll(".headerlink").forEach((link) => link.remove());
    const place = heading.closest("section[id]");
    return place ? [[Number(heading.tagName[1]) - 1, words.textContent.trim(), place.id]] : [];
  });
}
