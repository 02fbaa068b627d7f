/* What all figures that can be touched share: SVG elements, ticks, shapes of marks, and the box beside a mark. */
const drawing = (() => {
  const XML = "http://www.w3.org/2000/svg";
  /* Shapes of radius 1, by Matplotlib's names of markers. */
  const SHAPES = {
    s: "M-.9-.9H.9V.9H-.9Z",
    D: "M0-1.2 1.2 0 0 1.2-1.2 0Z",
    d: "M0-1.2.75 0 0 1.2-.75 0Z",
    "^": "M0-1.1 1 .8H-1Z",
    v: "M0 1.1 1-.8H-1Z",
    "<": "M-1.1 0 .8-1V1Z",
    ">": "M1.1 0-.8-1V1Z",
    P: "M-.4-1H.4V-.4H1V.4H.4V1H-.4V.4H-1V-.4H-.4Z",
    X: "M0-.5.5-1 1-.5.5 0 1 .5.5 1 0 .5-.5 1-1 .5-.5 0-1-.5-.5-1Z",
    p: "M0-1.1 1.05-.34.65.89H-.65L-1.05-.34Z",
    "*": "M0-1.3.31-.42 1.24-.4.5.16.76 1.05 0 .52-.76 1.05-.5.16-1.24-.4-.31-.42Z",
  };
  const CIRCLE = "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1-1 0Z";

  function add(parent, name, attributes, text) {
    const made = document.createElementNS(XML, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  /** The outline of a mark of radius 1. */
  const shape = (marker) => SHAPES[marker] ?? CIRCLE;

  /** Round numbers between two ends, about as many as are asked for. */
  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((times) => times * unit >= rough);
    const found = [];
    for (let tick = Math.ceil(low / step); tick * step <= high + 1e-9; tick += 1) found.push(tick * step);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step))) };
  }

  /** What a mark says, beside it. */
  const tip = (() => {
    const box = document.createElement("div");
    box.className = "tip";
    box.hidden = true;
    document.body.append(box);
    return {
      /** Tell of a mark: a title and lines of text, and its seeds as dots where it has some. */
      show(mark, { told: [name, ...rest], strip }) {
        const title = document.createElement("strong");
        title.textContent = name;
        box.replaceChildren(title, ...rest.map((text) => Object.assign(document.createElement("div"), { textContent: text })));
        if (strip) box.append(dots(strip));
        box.hidden = false;
        const place = mark.getBoundingClientRect();
        const left = Math.min(place.right + 10, document.documentElement.clientWidth - box.offsetWidth - 8);
        const above = place.top - box.offsetHeight - 8;
        box.style.left = `${Math.max(8, left) + scrollX}px`;
        box.style.top = `${(above < 60 ? place.bottom + 8 : above) + scrollY}px`;
      },
      hide() {
        box.hidden = true;
      },
    };
  })();

  /** Seeds as dots, their interval and mean, on a line from the lowest to the highest. */
  function dots({ seeds, mean, low, high }) {
    const [width, y] = [180, 9];
    const known = [...seeds, mean, low, high].filter((value) => value !== null);
    const [left, right] = [Math.min(...known), Math.max(...known)];
    const x = (value) => 6 + (right > left ? (value - left) / (right - left) : 0.5) * (width - 12);
    const svg = add(document.createElement("div"), "svg", { width, height: 2 * y, "aria-hidden": "true" });
    if (low !== null) add(svg, "line", { x1: x(low), x2: x(high), y1: y, y2: y, stroke: "currentColor", "stroke-width": 2, opacity: 0.5 });
    for (const seed of seeds) add(svg, "circle", { cx: x(seed), cy: y, r: 3, fill: "currentColor", opacity: 0.6 });
    if (mean !== null) add(svg, "line", { x1: x(mean), x2: x(mean), y1: 2, y2: 2 * y - 2, stroke: "currentColor", "stroke-width": 2 });
    return svg.parentNode;
  }

  /**
   * Let a mark tell about itself under a pointer and with the focus; a click or Enter chooses it.
   *
   * mark: what is focused; targets: what a pointer may hit besides; news: told and, perhaps, strip.
   */
  function touch(mark, targets, news, { seen = () => {}, chosen = () => {} } = {}) {
    const show = () => { tip.show(mark, news); seen(true); };
    const hide = () => { tip.hide(); seen(false); };
    for (const each of [mark, ...targets]) {
      each.addEventListener("pointerenter", show);
      each.addEventListener("pointerleave", hide);
      each.addEventListener("click", chosen);
    }
    mark.addEventListener("focus", show);
    mark.addEventListener("blur", hide);
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); chosen(); }
      if (event.key === "Escape") hide();
    });
  }

  return { add, ticks, shape, tip, touch };
})();
