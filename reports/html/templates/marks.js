/* Marks of figures: each tells its numbers under a pointer and with the focus; a click shows its strategy alone. */
(() => {
  const { texts, figures } = data.marks;
  const NEAR = [0, 4, 8, 12];
  const AROUND = [...Array(8).keys()].map((turn) => (turn * Math.PI) / 4);

  /** The mark at a place of the page, or the nearest one: for a finger or a pointer marks are larger than they look. */
  function markAt(card, x, y) {
    for (const far of NEAR) {
      for (const angle of far ? AROUND : [0]) {
        const found = document.elementFromPoint(x + far * Math.cos(angle), y + far * Math.sin(angle))?.closest(".telling");
        if (found && card.contains(found)) return found;
      }
    }
    return null;
  }

  function make(card, marks) {
    /* Of the artists that show one mark together the last lies on top: it stands for all. */
    const faces = new Map();
    for (const place of card.querySelectorAll("[data-mark]")) {
      const [strategies, told] = marks[place.dataset.mark];
      place.dataset.strategies = JSON.stringify(strategies.map((text) => texts[text]));
      if (!told.length) continue;
      place.classList.add("telling");
      faces.set(place.dataset.mark, place);
    }
    const all = [...faces.values()];
    if (!all.length) return;
    // An image has no parts that could be reached; its marks are the one stop of the figure.
    card.querySelector("svg").setAttribute("role", "group");
    card.removeAttribute("tabindex");
    for (const [number, face] of faces) {
      face.setAttribute("role", "button");
      face.setAttribute("tabindex", face === all[0] ? 0 : -1);
      face.setAttribute("aria-label", marks[number][1].map((text) => texts[text]).join("; "));
    }
    const own = (mark) => marks[mark.dataset.mark];

    function choose(mark) {
      const [strategies] = own(mark);
      if (strategies.length === 1) view.only(texts[strategies[0]]);
    }

    let seen = null;
    function show(mark, place = mark) {
      if (mark !== seen) {
        for (const each of card.querySelectorAll(".seen")) each.classList.remove("seen");
        if (mark) for (const each of card.querySelectorAll(`[data-mark="${mark.dataset.mark}"]`)) each.classList.add("seen");
      }
      seen = mark;
      if (!mark) return drawing.tip.hide();
      const [, told, strip] = own(mark);
      const [mean, low, high, ...seeds] = strip ?? [];
      drawing.tip.show(place, { told: told.map((text) => texts[text]), strip: strip && { mean, low, high, seeds } });
    }

    card.addEventListener("pointermove", ({ clientX, clientY }) => {
      const mark = markAt(card, clientX, clientY);
      card.classList.toggle("on-mark", mark !== null);
      // A line is long: its words stand where the pointer is.
      if (mark !== seen) show(mark, mark && { getBoundingClientRect: () => new DOMRect(clientX - 6, clientY - 6, 12, 12) });
    });
    card.addEventListener("pointerleave", () => show(null));
    card.addEventListener("click", ({ clientX, clientY }) => {
      const mark = markAt(card, clientX, clientY);
      if (mark) choose(mark);
    });
    card.addEventListener("focusin", ({ target }) => {
      const face = target.closest("[role=button]");
      if (!face) return;
      for (const each of all) each.setAttribute("tabindex", each === face ? 0 : -1);
      if (face.matches(":focus-visible")) show(face);
    });
    card.addEventListener("focusout", () => show(null));
    card.addEventListener("keydown", (event) => {
      const place = all.indexOf(event.target);
      if (place < 0) return;
      const next = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: all.length - 1 };
      if (event.key === "Enter" || event.key === " ") choose(event.target);
      else if (event.key === "Escape") show(null);
      else if (event.key in next) all[next[event.key]]?.focus();
      else return;
      event.preventDefault();
    });
  }

  for (const [name, marks] of Object.entries(figures)) {
    const card = document.getElementById(`figure-${name}`);
    if (card) make(card, marks);
  }
})();
