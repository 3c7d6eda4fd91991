(function (root, data) {
  "use strict";
  const svgNamespace = "http://www.w3.org/2000/svg";
  const { designs, measures, colours } = data;
  const width = 640, height = 400, left = 70, right = 14, top = 14, bottom = 52;
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const [across, up] = [find("x"), find("y")];
  const limits = [...root.querySelectorAll("input[data-limit]")];
  const groups = [...new Set(designs.map((design) => design.group))];

  const atLeast = (measure, a, b) => (measure.higher ? a >= b : a <= b);

  // b dominates a: at least as good in everything shown, and better in something
  function dominates(b, a, shown) {
    return (
      shown.every((m) => atLeast(m, b.values[m.key], a.values[m.key])) &&
      shown.some((m) => b.values[m.key] !== a.values[m.key])
    );
  }

  function make(name, attributes, text) {
    const element = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // 1, 2 or 5 times a power of ten, so that there are about five steps
  function ticks(low, high) {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  }

  const short = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });

  function scale(measure, start, end) {
    const values = designs.map((design) => design.values[measure.key]);
    let low = Math.min(...values), high = Math.max(...values);
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    low -= room; high += room;
    const place = (value) => start + ((value - low) / (high - low)) * (end - start);
    return { place, ticks: ticks(low, high) };
  }

  function shape(group, x, y, attributes) {
    const size = 6.5, kind = groups.indexOf(group) % 4;
    if (kind === 0) return make("circle", { cx: x, cy: y, r: size, ...attributes });
    const turned = { 1: "", 2: `rotate(45 ${x} ${y})`, 3: "" }[kind];
    if (kind === 3) {
      const points = `${x},${y - size * 1.2} ${x + size * 1.1},${y + size * 0.8} ${x - size * 1.1},${y + size * 0.8}`;
      return make("polygon", { points, ...attributes });
    }
    const square = { x: x - size, y: y - size, width: 2 * size, height: 2 * size };
    return make("rect", { ...square, transform: turned, ...attributes });
  }

  function axes(svg, x, y, horizontal, vertical) {
    const line = { stroke: "currentColor", "stroke-opacity": 0.25 };
    const words = { fill: "currentColor", "font-size": 13 };
    for (const value of x.ticks) {
      const at = x.place(value);
      svg.append(make("line", { x1: at, x2: at, y1: top, y2: height - bottom, ...line }));
      svg.append(make("text", { x: at, y: height - bottom + 18, "text-anchor": "middle", ...words }, short(value)));
    }
    for (const value of y.ticks) {
      const at = y.place(value);
      svg.append(make("line", { x1: left, x2: width - right, y1: at, y2: at, ...line }));
      svg.append(make("text", { x: left - 8, y: at + 4, "text-anchor": "end", ...words }, short(value)));
    }
    const middle = (top + height - bottom) / 2;
    svg.append(make("text", { x: (left + width - right) / 2, y: height - 10, "text-anchor": "middle", ...words }, horizontal.title));
    svg.append(make("text", { x: 16, y: middle, "text-anchor": "middle", transform: `rotate(-90 16 ${middle})`, ...words }, vertical.title));
  }

  function draw() {
    const horizontal = measures[across.value], vertical = measures[up.value];
    const asked = limits
      .filter((input) => input.value !== "" && Number.isFinite(Number(input.value)))
      .map((input) => [measures[input.dataset.limit], Number(input.value)]);
    const fits = designs.filter((design) => asked.every(([m, limit]) => atLeast(m, design.values[m.key], limit)));
    const shown = horizontal === vertical ? [horizontal] : [horizontal, vertical];
    const front = fits.filter((a) => !fits.some((b) => dominates(b, a, shown)));
    front.sort((a, b) => a.values[horizontal.key] - b.values[horizontal.key]);

    const svg = find("chart");
    svg.replaceChildren();
    const x = scale(horizontal, left, width - right), y = scale(vertical, height - bottom, top);
    axes(svg, x, y, horizontal, vertical);
    const path = front.map((d) => `${x.place(d.values[horizontal.key])},${y.place(d.values[vertical.key])}`);
    svg.append(make("polyline", { points: path.join(" "), fill: "none", stroke: "currentColor", "stroke-dasharray": "5 4" }));
    for (const design of designs) {
      const inside = fits.includes(design), best = front.includes(design);
      const colour = colours[groups.indexOf(design.group) % colours.length];
      const mark = shape(design.group, x.place(design.values[horizontal.key]), y.place(design.values[vertical.key]), {
        fill: inside ? colour : "none", stroke: best ? "currentColor" : colour,
        "stroke-width": best ? 2.5 : 1.2, opacity: inside ? 1 : 0.45,
      });
      mark.append(make("title", {}, `${design.name}: ${short(design.values[horizontal.key])}, ${short(design.values[vertical.key])}`));
      svg.append(mark);
    }
    svg.setAttribute("aria-label", `${vertical.title} against ${horizontal.title}, ${designs.length} designs`);
    find("told").textContent =
      `${fits.length} of ${designs.length} designs keep to the budget; ${front.length} of them are on the front of these two measures.`;
    const rows = front.map((design) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = design.name;
      row.append(head, ...measures.map((m) => {
        const cell = document.createElement("td");
        cell.textContent = short(design.values[m.key]);
        return cell;
      }));
      return row;
    });
    find("rows").replaceChildren(...rows);
  }

  root.addEventListener("input", draw);
  draw();
  root.querySelector("[data-needs-script]").hidden = false;
})
