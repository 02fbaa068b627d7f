/* Marks of figures: each shows its numbers under a pointer or with the focus; a click shows its strategy alone. */
(() => {
  const { texts, figures } = data.marks;
  const NEAR = [0, 4, 8, 12];
  const AROUND = [...Array(8).keys()].map((turn) => (turn * Math.PI) / 4);
  /* By the card of a figure: what its marks tell, and the elements that stand for them, in their order. */
  const known = new Map();
  let seen = null;
  let pointed = false;

  const worded = (places) => places.map((text) => texts[text]);
  const told = (mark) => known.get(mark.closest(".card")).marks[mark.dataset.mark];

  /** Give the marks of a figure their strategies, and those that tell something their words. */
  function prepare(card, marks) {
    // Of elements that show one mark together the last lies on top: it stands for all.
    const faces = new Map();
    for (const place of card.querySelectorAll("[data-mark]")) {
      const [strategies, lines] = marks[place.dataset.mark];
      place.dataset.strategies = JSON.stringify(worded(strategies));
      if (!lines.length) continue;
      place.classList.add("telling");
      faces.set(place.dataset.mark, place);
    }
    if (!faces.size) return;
    const all = [...faces.values()];
    known.set(card, { marks, all });
    // An image has no parts that can be reached. Its marks are the one stop of the figure.
    card.querySelector("svg").setAttribute("role", "group");
    card.removeAttribute("tabindex");
    drawing.tabStop(all);
    for (const [number, face] of faces) {
      face.setAttribute("role", "button");
      face.setAttribute("aria-label", worded(marks[number][1]).join("; "));
    }
  }

  /** The mark at a place of the screen, or the nearest: for a finger or a pointer it is larger than it looks. */
  function markAt(card, x, y) {
    for (const far of NEAR) {
      for (const angle of far ? AROUND : [0]) {
        const found = document.elementFromPoint(x + far * Math.cos(angle), y + far * Math.sin(angle))?.closest(".telling");
        if (found && card.contains(found)) return found;
      }
    }
    return null;
  }

  /** Tell of a mark beside a place, or of none. */
  function show(mark, place = mark) {
    for (const each of document.querySelectorAll(".seen")) each.classList.remove("seen");
    seen = mark;
    if (!mark) return drawing.tip.hide();
    for (const each of mark.closest(".card").querySelectorAll(`[data-mark="${mark.dataset.mark}"]`)) each.classList.add("seen");
    const [, lines, strip] = told(mark);
    const [mean, low, high, ...seeds] = strip ?? [];
    drawing.tip.show(place, { told: worded(lines), strip: strip && { mean, low, high, seeds } });
  }

  /** Show the strategy of a mark alone; what is about several shows none. */
  function choose(mark) {
    const [strategies] = told(mark);
    if (strategies.length === 1) view.only(texts[strategies[0]]);
  }

  function point({ target, clientX, clientY }) {
    const card = target.closest?.(".card");
    const mark = known.has(card) ? markAt(card, clientX, clientY) : null;
    card?.classList.toggle("on-mark", mark !== null);
    // A line is long: its words stand where the pointer is.
    if (mark && mark !== seen) show(mark, { getBoundingClientRect: () => new DOMRect(clientX - 6, clientY - 6, 12, 12) });
    if (!mark && pointed) show(null);
    pointed = mark !== null;
  }

  for (const [name, marks] of Object.entries(figures)) {
    const card = document.getElementById(`figure-${name}`);
    if (card) prepare(card, marks);
  }
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("click", ({ target, clientX, clientY }) => {
    const card = target.closest(".card");
    const mark = known.has(card) && markAt(card, clientX, clientY);
    if (mark) choose(mark);
  });
  document.addEventListener("focusin", ({ target }) => {
    if (!target.matches(".telling")) return;
    drawing.tabStop(known.get(target.closest(".card")).all, target);
    if (target.matches(":focus-visible")) show(target);
  });
  document.addEventListener("focusout", ({ target }) => {
    if (target.matches(".telling") && !pointed) show(null);
  });
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!target.matches(".telling")) return;
    const { all } = known.get(target.closest(".card"));
    if (key === "Enter" || key === " ") choose(target);
    else if (key === "Escape") show(null);
    else if (!drawing.moveFocus(all, target, key)) return;
    event.preventDefault();
  });
})();

/* Names of strategies in tables: a click on one shows it alone, and the rows of others fade. */
(() => {
  /** Put the text of a heading into a button. */
  function press(heading, strategy) {
    const words = heading.querySelector(".clamp");
    const button = element("button", { type: "button", className: "plain" });
    button.dataset.rowOf = strategy;
    words.replaceWith(button);
    button.append(words);
  }

  for (const row of document.querySelectorAll("tr[data-strategies]")) {
    const [strategy] = JSON.parse(row.dataset.strategies);
    const heading = row.querySelector("th");
    if (!heading.querySelector("[data-row-of]")) press(heading, strategy);
  }
  for (const heading of document.querySelectorAll(".matrix thead [data-strategy]")) {
    const { strategy } = heading.dataset;
    press(heading, strategy);
    for (const row of heading.closest("table").rows) row.cells[heading.cellIndex].dataset.strategies = JSON.stringify([strategy]);
  }
})();
