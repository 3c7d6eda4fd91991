/* Filters of the question pages: choices stay in the address, so that they can be linked to. */
(() => {
  const start = (form) => {
    const selects = [...form.querySelectorAll("select")];
    const questions = [...document.querySelectorAll(".bd-article .question")];
    const said = form.querySelector("output");
    const address = new URLSearchParams(location.search);
    selects.forEach((select) => {
      const word = address.get(select.name);
      if ([...select.options].some((option) => option.value === word)) select.value = word;
    });
    const apply = () => {
      const wanted = selects.filter((s) => s.value).map((s) => `is-${s.name}-${s.value}`);
      let shown = 0;
      questions.forEach((question) => {
        question.hidden = !wanted.every((word) => question.classList.contains(word));
        shown += question.hidden ? 0 : 1;
        const entry = document.querySelector(`.bd-toc-nav a[href="#${question.id}"]`);
        if (question.id && entry) entry.parentElement.hidden = question.hidden;
      });
      said.textContent = `${shown} of ${questions.length} questions`;
    };
    const remember = () => {
      const search = new URLSearchParams(selects.filter((s) => s.value).map((s) => [s.name, s.value]));
      try {
        history.replaceState(null, "", `${search.size ? `?${search}` : location.pathname}${location.hash}`);
      } catch { /* a page opened as a file may not change its address */ }
    };
    const reveal = () => {
      const target = location.hash && document.getElementById(location.hash.slice(1));
      if (target && target.hidden) {
        selects.forEach((select) => { select.value = ""; });
        apply();
        target.scrollIntoView();
      }
    };
    form.addEventListener("change", () => { apply(); remember(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", reveal);
    form.hidden = false;
    apply();
    reveal();
  };
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".question-filters").forEach(start);
  });
})();
