/* The state of the whole page: the scenario that is shown, and the baseline. Both are in the address. */
const data = JSON.parse(document.getElementById("data").textContent);
const view = (() => {
  const boards = data.answers;
  const bar = document.getElementById("choose");
  const { scenario, baseline } = bar.elements;
  const places = [...document.querySelectorAll("[data-scenario]")];
  const chapters = [...document.querySelectorAll("[data-chapter]")];
  const listeners = [];
  const options = [];
  let lit = "";

  const value = (select, wanted) => [...select.options].some((option) => option.value === wanted);
  const placeOf = (board, name) => board.strategies.findIndex((names) => names.includes(name));

  /** Write a strategy's difference from the baseline into its row. */
  function fill(row, pair) {
    const [verdict, words, numbers, n] = pair ?? ["", "", [], ""];
    const badge = row.querySelector(".verdict");
    badge.dataset.verdict = verdict;
    badge.textContent = words;
    row.querySelectorAll("[data-number]").forEach((cell, place) => {
      const [text, interval] = numbers[place] ?? ["", ""];
      cell.replaceChildren(text, ...(interval ? [element("span", { className: "spread" }, interval)] : []));
    });
    row.querySelector("[data-n]").textContent = n;
  }

  function compare() {
    for (const name of document.querySelectorAll("[data-baseline]")) name.textContent = baseline.value;
    for (const table of document.querySelectorAll("[data-board]")) {
      const board = boards[table.dataset.board];
      const place = placeOf(board, baseline.value);
      if (place < 0) table.querySelector("[data-baseline]").textContent += ", which has no finished runs here";
      table.querySelectorAll("tbody tr[data-strategies]").forEach((row, own) => fill(row, place < 0 ? null : board.pairs[own][place]));
    }
    const columns = [...document.querySelectorAll(".matrix thead [data-strategy]")];
    for (const row of document.querySelectorAll(".matrix tbody tr")) {
      const board = boards[row.dataset.row];
      if (!board) continue; // no run of the scenario has finished
      const place = placeOf(board, baseline.value);
      columns.forEach((heading, column) => {
        const own = placeOf(board, heading.dataset.strategy);
        const pair = place < 0 || own < 0 ? null : board.pairs[own][place];
        const [verdict, , numbers] = pair ?? ["", "", []];
        const cell = row.children[column + 1];
        cell.dataset.verdict = verdict;
        cell.textContent = numbers[0]?.[0] ?? verdict;
      });
    }
  }

  const known = new Map();
  /** The strategies that a place is about; few lists, many places. */
  function about(place) {
    const text = place.dataset.strategies;
    if (!known.has(text)) known.set(text, JSON.parse(text));
    return known.get(text);
  }

  /** Let all strategies but the chosen one fade in a part of the page; without a choice none fades. */
  function fade(part = document) {
    const places = [...part.querySelectorAll("[data-strategies]")];
    if (part === document && !places.some((place) => about(place).includes(lit))) lit = "";
    for (const place of places) place.classList.toggle("faded", lit !== "" && !about(place).includes(lit));
    for (const button of part.querySelectorAll("button:is([data-strategies], [data-row-of])")) {
      button.setAttribute("aria-pressed", String(about(button.closest("[data-strategies]")).includes(lit)));
    }
  }

  function show() {
    const { of, usual } = scenario.selectedOptions[0]?.dataset ?? {};
    for (const each of places) each.hidden = each.dataset.scenario !== scenario.value;
    for (const each of chapters) each.hidden = each.dataset.chapter !== of;
    for (const option of baseline.options) option.hidden = of !== undefined && !JSON.parse(option.dataset.in).includes(of);
    if (baseline.selectedOptions[0]?.hidden) baseline.value = usual;
    compare();
    tell();
  }

  function tell() {
    for (const listener of listeners) listener(scenario.selectedOptions[0]?.dataset.name ?? "");
  }

  function write() {
    history.replaceState(null, "", address(parts()[0]));
  }

  /** The address: a place in the page, then all choices that differ from the initial ones. */
  function address(place) {
    const asked = new URLSearchParams();
    for (const select of [scenario, baseline]) {
      if (select.value !== select.dataset.first) asked.set(select.name, select.value);
    }
    if (lit) asked.set("only", lit);
    for (const { name, value } of options) if (value) asked.set(name, value);
    const text = asked.toString();
    return `#${place}${text ? `?${text}` : ""}`;
  }

  /** The place in the address, and the rest; an address that somebody cut off is no place. */
  function parts() {
    const [place, text] = location.hash.slice(1).split("?");
    try {
      return [decodeURIComponent(place), text];
    } catch {
      return ["", text];
    }
  }

  function follow(opening) {
    const [place, text] = parts();
    if (opening || text !== undefined || !place) {
      const asked = new URLSearchParams(text);
      for (const select of [scenario, baseline]) {
        const wanted = asked.get(select.name) ?? select.dataset.first;
        if (value(select, wanted)) select.value = wanted;
      }
      lit = asked.get("only") ?? "";
      for (const option of options) option.value = asked.get(option.name) ?? "";
      show();
    }
    // A link inside the page names its place alone: the view stays.
    history.replaceState(null, "", address(place) === "#" ? location.pathname + location.search : address(place));
    const target = place && document.getElementById(place);
    if (target) {
      const own = target.closest("[data-scenario]");
      const chapter = target.closest("[data-chapter]");
      if (own?.hidden || chapter?.hidden) {
        scenario.value = own?.dataset.scenario ?? [...scenario.options].find((option) => option.dataset.of === chapter.dataset.chapter).value;
        show();
        history.replaceState(null, "", address(place));
      }
      shownFor(target).scrollIntoView();
    }
  }

  /** A place, or the live figure that stands for it. */
  function shownFor(place) {
    let live = place.closest(".static");
    while (live && !live.matches(".live")) live = live.previousElementSibling;
    return live ?? place;
  }

  for (const select of [scenario, baseline]) {
    select.dataset.first = select.value;
    select.addEventListener("change", () => {
      show();
      write();
    });
  }
  document.addEventListener("click", (event) => {
    const row = event.target.closest("button[data-row-of]");
    if (row) view.only(row.dataset.rowOf);
    const link = event.target.closest("[data-choose]");
    if (!link) return;
    event.preventDefault();
    scenario.value = link.dataset.choose;
    scenario.dispatchEvent(new Event("change"));
    scenario.focus();
  });
  window.addEventListener("hashchange", () => follow(false));
  document.documentElement.classList.add("selects");
  bar.hidden = false;

  return {
    fade,
    /** Show one strategy alone, or all again where it is so already. */
    only(strategy) {
      lit = lit === strategy ? "" : strategy;
      fade();
      write();
    },
    /** Make a text that the address keeps, empty at first; it is read again whenever the address changes. */
    option(name) {
      const made = {
        name,
        value: "",
        set(value) {
          made.value = value;
          write();
          tell();
        },
      };
      options.push(made);
      return made;
    },
    /** Call a function with the name of the scenario that is shown, when the page opens and whenever it changes. */
    watch(listener) {
      listeners.push(listener);
    },
    /** Show what the address asks for; called once, when the whole page is there. */
    open() {
      follow(true);
    },
  };
})();
