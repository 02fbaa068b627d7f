/* A panel of lines over steps; the pointer and the arrow keys read single points. */
const chart = (() => {
  const { add, scale, ticks, tip } = drawing;
  const ROOM = { left: 46, right: 10, top: 22, bottom: 36 };
  const NEAR = 40; // pixels from the pointer to the point that it reads

  function marksOf([low, high], log, count) {
    if (!log) return ticks(low, high, count);
    const found = [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter((tick) => tick >= low && tick <= high);
    return { found, digits: 0 };
  }

  /** Keep the ends, and the lowest and highest point of each short stretch: more cannot be seen. */
  function thinned(values, most) {
    const all = values.map((_, place) => place).filter((place) => values[place] !== null);
    if (all.length <= most) return all;
    const kept = new Set([all[0], all.at(-1)]);
    const stretch = all.length / (most / 2);
    for (let start = 0; start < all.length; start += stretch) {
      const own = all.slice(Math.floor(start), Math.floor(start + stretch));
      const by = (better) => own.reduce((best, place) => (better(values[place], values[best]) ? place : best), own[0]);
      if (own.length) kept.add(by((a, b) => a < b)).add(by((a, b) => a > b));
    }
    return [...kept].sort((a, b) => a - b);
  }

  /**
   * Draw a panel.
   *
   * frame: x, y, width and height, all of it; look: title, axis, across and up (ranges), log, starts and shaded;
   * lines: name, strategies, color, dash and phases, each with xs, mean, low, high and told(place); may have seeds.
   */
  function panel(parent, frame, look, lines, { single = false, chosen = () => {}, said = () => {} } = {}) {
    const own = add(parent, "g", { class: "panel", transform: `translate(${frame.x} ${frame.y})` });
    const [left, right, top, bottom] = [ROOM.left, frame.width - ROOM.right, ROOM.top, frame.height - ROOM.bottom];
    const x = scale(look.across, [left, right], look.log);
    const y = scale(look.up, [bottom, top]);
    const path = (xs, ys) => {
      const kept = thinned(ys, 2 * (right - left));
      return kept.map((place, i) => `${i ? "L" : "M"}${x(xs[place]).toFixed(1)} ${y(ys[place]).toFixed(1)}`).join("");
    };

    add(own, "text", { class: "title", x: left, y: 12 }, look.title);
    if (look.shaded) add(own, "rect", { class: "shaded", x: x(0), y: top, width: Math.max(1, x(look.shaded) - x(0)), height: bottom - top });
    const up = marksOf(look.up, false, 5);
    for (const tick of up.found) {
      add(own, "line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) });
      add(own, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, `${fixed(tick, up.digits)} %`);
    }
    for (const start of look.starts) add(own, "line", { class: "start", x1: x(start), x2: x(start), y1: top, y2: bottom });
    const across = marksOf(look.across, look.log, Math.max(2, (right - left) / 70));
    for (const tick of across.found) {
      add(own, "line", { class: "tick", x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 4 });
      add(own, "text", { x: x(tick), y: bottom + 15, "text-anchor": "middle" }, fixed(tick, across.digits));
    }
    add(own, "text", { class: "axis", x: (left + right) / 2, y: frame.height - 5, "text-anchor": "middle" }, look.axis);

    const paths = lines.map((line) => line.phases.map((phase) => path(phase.xs, phase.mean)));
    const drawn = lines.map((line, place) => {
      const group = add(own, "g", { class: "line", "data-line": line.name, "data-strategies": JSON.stringify(line.strategies) });
      // Of lines that coincide, the lower ones are wider.
      const above = paths.slice(place + 1).filter((other) => other.join() === paths[place].join()).length;
      line.phases.forEach((phase, part) => {
        const ends = thinned(phase.low, right - left);
        if (!single && ends.length > 1) {
          const edge = (name, order) => order.map((at) => `${x(phase.xs[at]).toFixed(1)} ${y(phase[name][at]).toFixed(1)}`).join("L");
          add(group, "path", { class: "band", d: `M${edge("low", ends)}L${edge("high", [...ends].reverse())}Z`, fill: line.color });
        }
        if (single) add(group, "path", { class: "seed", d: phase.seeds.map((seed) => path(phase.xs, seed)).join(""), stroke: line.color });
        const dashes = { d: paths[place][part], stroke: line.color, "stroke-dasharray": line.dash, "stroke-width": 1.6 + 2 * above };
        add(group, "path", { class: "mean", ...dashes });
      });
      return group;
    });
    const reading = add(own, "circle", { class: "reading", r: 4, cx: left, cy: top, visibility: "hidden" });

    /* Every point that can be read: the line, the phase and the place in it. */
    let at = null;
    function read(found, spoken) {
      at = found;
      drawn.forEach((group, place) => group.classList.toggle("lit", place === at?.line));
      reading.setAttribute("visibility", at ? "visible" : "hidden");
      if (!at) return tip.hide();
      const line = lines[at.line];
      const phase = line.phases[at.phase];
      reading.setAttribute("cx", x(phase.xs[at.place]));
      reading.setAttribute("cy", y(phase.mean[at.place]));
      reading.setAttribute("fill", line.color);
      const news = phase.tell(at.place);
      tip.show(reading, { ...news, told: [line.name, ...news.told] });
      if (spoken) said([line.name, ...news.told].join("; "));
    }

    function* points() {
      for (const [line, { phases }] of lines.entries()) {
        if (drawn[line].classList.contains("faded")) continue;
        for (const [phase, { xs, mean }] of phases.entries()) {
          for (let place = 0; place < xs.length; place += 1) {
            if (mean[place] !== null) yield { line, phase, place, x: x(xs[place]), y: y(mean[place]) };
          }
        }
      }
    }

    function nearest(a, b) {
      let [best, least] = [null, Infinity];
      for (const point of points()) {
        const distance = (point.x - a) ** 2 + (point.y - b) ** 2;
        if (distance < least && point.x >= left - 1 && point.x <= right + 1) [best, least] = [point, distance];
      }
      return least <= NEAR ** 2 ? best : null;
    }

    const cover = add(own, "rect", {
      class: "cover", x: left, y: top, width: right - left, height: bottom - top, tabindex: -1, role: "button",
      "aria-label": `${look.title}: arrow keys go along its curves, left and right, and between them, up and down`,
    });
    const local = (event) => {
      const box = cover.getBoundingClientRect();
      return [left + event.clientX - box.left, top + event.clientY - box.top];
    };
    for (const kind of ["pointermove", "pointerdown"]) cover.addEventListener(kind, (event) => read(nearest(...local(event))));
    // A finger that leaves has read nothing yet.
    cover.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") read(null); });
    cover.addEventListener("click", (event) => {
      const found = nearest(...local(event));
      if (found) chosen(lines[found.line]);
    });
    cover.addEventListener("blur", () => read(null));
    cover.addEventListener("keydown", (event) => {
      const all = [...points()];
      const now = at && all.findIndex((point) => point.line === at.line && point.phase === at.phase && point.place === at.place);
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (event.key === "Escape") read(null);
      else if (event.key === "Enter" && at) chosen(lines[at.line]);
      else if (step && all.length) {
        const next = all[now === null ? 0 : now + step];
        if (next && (now === null || next.line === at.line)) read(next, true);
      } else if (turn && all.length) {
        const known = [...new Set(all.map((point) => point.line))];
        const wanted = at ? known[known.indexOf(at.line) + turn] : known.at(turn < 0 ? -1 : 0);
        if (wanted === undefined) { read(null); cover.dispatchEvent(new CustomEvent("leave", { bubbles: true, detail: turn })); } else {
          const there = all.filter((point) => point.line === wanted);
          const near = at ? x(lines[at.line].phases[at.phase].xs[at.place]) : right;
          read(there.reduce((best, point) => (Math.abs(point.x - near) < Math.abs(best.x - near) ? point : best)), true);
        }
      } else return;
      event.preventDefault();
    });
    return cover;
  }

  return { panel };
})();
