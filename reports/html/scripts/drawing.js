/* Shared by all interactive figures: SVG elements, scales and ticks, shapes of marks, the tab stop, and the tooltip. */
/** Make an HTML element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

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

  /** Map a range of values to a range of pixels, linearly or by the logarithm of 1 + value. */
  function scale([low, high], [from, to], log = false) {
    const place = log ? (value) => Math.log10(1 + Math.max(0, value)) : (value) => value;
    const [start, span] = [place(low), place(high) - place(low) || 1];
    return (value) => from + ((place(value) - start) / span) * (to - from);
  }

  /** About `count` round numbers between two ends. */
  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((times) => times * unit >= rough);
    const found = [];
    for (let tick = Math.ceil(low / step); tick * step <= high + 1e-9; tick += 1) found.push(tick * step);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step))) };
  }

  /** The tooltip: the text of a mark, beside it. */
  const tip = (() => {
    const box = element("div", { className: "tip", hidden: true });
    document.body.append(box);
    return {
      /** Show a title and lines of text, and the seeds as dots where the mark has some. */
      show(mark, { told: [name, ...rest], strip }) {
        box.replaceChildren(element("strong", {}, name), ...rest.map((text) => element("div", {}, text)));
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

  /** Draw seeds as dots with their interval and mean, from the lowest to the highest. */
  function dots({ seeds, mean, low, high }) {
    const [width, y] = [180, 9];
    const known = [...seeds, mean, low, high].filter((value) => value !== null);
    const [left, right] = [Math.min(...known), Math.max(...known)];
    const x = (value) => 6 + (right > left ? (value - left) / (right - left) : 0.5) * (width - 12);
    const svg = add(element("div"), "svg", { width, height: 2 * y, "aria-hidden": "true" });
    if (low !== null) add(svg, "line", { x1: x(low), x2: x(high), y1: y, y2: y, stroke: "currentColor", "stroke-width": 2, opacity: 0.5 });
    for (const seed of seeds) add(svg, "circle", { cx: x(seed), cy: y, r: 3, fill: "currentColor", opacity: 0.6 });
    if (mean !== null) add(svg, "line", { x1: x(mean), x2: x(mean), y1: 2, y2: 2 * y - 2, stroke: "currentColor", "stroke-width": 2 });
    return svg.parentNode;
  }

  /**
   * Show the tooltip of a mark under a pointer or with the focus; a click or Enter chooses the mark.
   *
   * mark: the element with the focus; target: a larger element for pointers; news: told and, perhaps, strip.
   */
  function touch(mark, target, news, { seen, chosen }) {
    const show = () => { tip.show(mark, news); seen(true); };
    const hide = () => { tip.hide(); seen(false); };
    for (const each of [mark, target]) {
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

  /** Make one of some elements the only stop of the tab key. */
  function tabStop(elements, current = elements[0]) {
    for (const element of elements) element.setAttribute("tabindex", element === current ? 0 : -1);
  }

  /** Move the focus from one of some elements as a key asks; returns whether the key is one of those. */
  function moveFocus(elements, current, key) {
    const place = elements.indexOf(current);
    const next = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: elements.length - 1 };
    if (key in next) elements[next[key]]?.focus();
    return key in next;
  }

  return { add, moveFocus, scale, shape, tabStop, ticks, tip, touch };
})();
