/* The interactive stability-plasticity plane. */
(() => {
  const planes = data.planes;
  const { add, moveFocus, scale, shape: shapeOf, tabStop, ticks, touch } = drawing;
  const R = 6;
  /** The range of an axis: all points and intervals, some room, never beyond 0 and 100 %. */
  function range(points, name, levels = []) {
    const ends = levels.concat(points.flatMap((point) => [...point[name], ...point.seeds.map((seed) => seed[name === "x" ? 0 : 1])]));
    const known = ends.filter((end) => end !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const margin = Math.max(0.06 * (high - low), (5 - (high - low)) / 2, 0.5);
    return [Math.max(-2, low - margin), Math.min(102, high + margin)];
  }

  function draw(box, { lines }) {
    const width = Math.max(280, box.clientWidth - 24);
    const height = Math.round(Math.min(460, Math.max(300, width * 0.66)));
    const inner = { left: 44, right: width - 14, top: 14, bottom: height - 44 };
    const points = lines.flatMap((line) => line.points);
    const [left, right] = range(points, "x");
    const [bottom, top] = range(points, "y", lines.flatMap((line) => line.levels));
    const x = scale([left, right], [inner.left, inner.right]);
    const y = scale([bottom, top], [inner.bottom, inner.top]);
    const svg = add(box, "svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": box.dataset.label });

    const across = ticks(left, right, width / 80);
    const up = ticks(bottom, top, height / 60);
    for (const tick of across.found) {
      add(svg, "line", { class: "grid", x1: x(tick), x2: x(tick), y1: inner.top, y2: inner.bottom });
      add(svg, "text", { x: x(tick), y: inner.bottom + 16, "text-anchor": "middle" }, fixed(tick, across.digits));
    }
    for (const tick of up.found) {
      add(svg, "line", { class: "grid", x1: inner.left, x2: inner.right, y1: y(tick), y2: y(tick) });
      add(svg, "text", { x: inner.left - 7, y: y(tick) + 4, "text-anchor": "end" }, fixed(tick, up.digits));
    }
    add(svg, "text", { class: "axis", x: (inner.left + inner.right) / 2, y: height - 6, "text-anchor": "middle" }, "learning accuracy of the new models, %");
    add(svg, "text", { class: "axis", transform: `translate(11 ${(inner.top + inner.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "stability of the earlier models, %");

    const taken = points.map((point) => [x(point.x[0]) - R, y(point.y[0]) - R, x(point.x[0]) + R, y(point.y[0]) + R]);
    const seeds = add(svg, "g", { class: "seeds", "aria-hidden": "true" });
    for (const line of [...lines].reverse()) {
      const group = add(svg, "g", { "data-strategies": JSON.stringify([line.strategy]) });
      if (line.points.length > 1) {
        const way = line.points.map((point) => `${x(point.x[0])},${y(point.y[0])}`).join(" ");
        add(group, "polyline", { points: way, stroke: line.color, "stroke-dasharray": line.dash, "stroke-width": 1.6, fill: "none" });
      }
      for (const level of line.levels) {
        add(group, "line", { x1: inner.left, x2: inner.right, y1: y(level), y2: y(level), stroke: line.color, "stroke-dasharray": "6 3" });
      }
      for (const point of line.points) mark(group, seeds, point, line, x, y);
      for (const point of line.points) if (point.at) label(group, point, line, taken, x, y, inner);
    }
    const marks = [...svg.querySelectorAll(".mark")];
    tabStop(marks);
    for (const each of marks) {
      each.addEventListener("focus", () => tabStop(marks, each));
      each.addEventListener("keydown", (event) => {
        if (moveFocus(marks, each, event.key)) event.preventDefault();
      });
    }
    legend(box, lines);
  }

  function mark(group, seeds, point, line, x, y) {
    const [a, b] = [x(point.x[0]), y(point.y[0])];
    const color = point.hollow && !line.reference ? line.color : point.color;
    for (const [name, ends] of [["x", point.x], ["y", point.y]]) {
      if (ends[1] === null) continue;
      const bar = name === "x" ? { x1: x(ends[1]), x2: x(ends[2]), y1: b, y2: b } : { x1: a, x2: a, y1: y(ends[1]), y2: y(ends[2]) };
      add(group, "line", { ...bar, stroke: color, "stroke-width": 1, opacity: 0.45 });
    }
    const spots = (shown) => {
      seeds.replaceChildren();
      if (shown) for (const [s, t] of point.seeds) add(seeds, "circle", { cx: x(s), cy: y(t), r: 3, fill: color, opacity: 0.7 });
    };
    // For a finger or a pointer the mark is larger than it looks.
    const target = add(group, "circle", { cx: a, cy: b, r: 11, fill: "transparent" });
    const shape = add(group, "path", {
      d: shapeOf(line.marker), transform: `translate(${a} ${b}) scale(${R})`, class: point.hollow ? "mark hollow" : "mark",
      fill: color, stroke: line.color, tabindex: 0, role: "button", "aria-label": point.told.join("; "),
    });
    touch(shape, target, point, { seen: spots, chosen: () => view.only(line.strategy) });
  }

  /** Write a strength beside its point if there is a place where it covers nothing. */
  function label(group, point, line, taken, x, y, inner) {
    const size = [6.2 * point.at.length, 11];
    const [a, b] = [x(point.x[0]), y(point.y[0])];
    for (const [across, up] of [[9, -9], [9, 13], [-9 - size[0], -9], [-9 - size[0], 13], [-size[0] / 2, -14], [-size[0] / 2, 20]]) {
      const box = [a + across, b + up - size[1], a + across + size[0], b + up];
      const inside = box[0] > inner.left && box[2] < inner.right && box[1] > inner.top - 8 && box[3] < inner.bottom;
      if (!inside || taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
      taken.push(box);
      add(group, "text", { class: "strength", x: box[0], y: box[3] - 1, fill: line.color, "aria-hidden": "true" }, point.at);
      return;
    }
  }

  function legend(box, lines) {
    const list = element("ul", { className: "keys" });
    for (const line of lines) {
      const key = element("button", { type: "button" });
      key.dataset.strategies = JSON.stringify([line.strategy]);
      const svg = add(key, "svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
      add(svg, "path", { d: shapeOf(line.marker), transform: "scale(5)", fill: line.color });
      key.append(line.strategy);
      key.addEventListener("click", () => view.only(line.strategy));
      list.append(element("li", {}, key));
    }
    box.append(list);
  }

  const drawn = new Map();
  function redraw() {
    for (const box of document.querySelectorAll("[data-plane]")) {
      if (box.closest("[hidden]")) continue;
      if (drawn.get(box) === box.clientWidth) continue;
      box.replaceChildren();
      draw(box, planes[box.dataset.plane]);
      drawn.set(box, box.clientWidth);
    }
    view.fade();
  }
  for (const box of document.querySelectorAll("[data-plane], .live-words")) box.hidden = false;
  view.watch(redraw);
  window.addEventListener("resize", redraw);
})();
