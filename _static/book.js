/* What is wider than its column scrolls inside itself, and can then be reached from the keyboard. */
(() => {
  const boxes = ".table-scroll, .cell_output .output, mjx-container";
  const update = () => {
    document.querySelectorAll(".bd-article mjx-container:not([display])").forEach((formula) => {
      formula.classList.remove("too-wide");
      const block = formula.closest("p, li, dd, td, figcaption, h1, h2, h3");
      if (block && formula.offsetWidth > block.clientWidth) formula.classList.add("too-wide");
    });
    document.querySelectorAll(boxes).forEach((box) => {
      if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible") {
        box.tabIndex = 0;
      } else if (box.tagName !== "MJX-CONTAINER" || !box.hasAttribute("role")) {
        box.removeAttribute("tabindex");
      }
    });
  };
  window.addEventListener("load", () => {
    const drawn = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    Promise.resolve(drawn).then(update);
  });
  window.addEventListener("resize", update);
})();
