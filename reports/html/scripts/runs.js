/* The table of runs: sorting, filters, search and pages, over the data from reports/html/runs_table.py. */
(() => {
  const ROWS = 25;
  const PRINTED = 1000;
  const NOTHING = "–";
  const { columns, texts, rows, dials } = data.runs;
  const box = document.getElementById("runs-table");
  const form = box.querySelector("form");
  const body = box.querySelector("tbody");
  const status = box.querySelector("[role=status]");
  const headings = [...box.querySelectorAll("th")];
  const turns = [...box.querySelectorAll("[data-turn]")];

  const names = columns.map(([name]) => name);
  const kinds = columns.map(([, kind]) => kind);
  const at = Object.fromEntries(names.map((name, place) => [name, place]));
  const strengths = new Map(data.runs.strengths);
  const shown = headings.map((heading) => at[heading.dataset.column]);
  const metrics = shown.filter((place) => kinds[place] === "fraction" || kinds[place] === "difference");
  const collator = new Intl.Collator("en", { numeric: true });

  const runs = rows.map((row, place) => {
    const values = row.map((value, column) => (kinds[column] === "text" ? texts[value] : value));
    const strength = values[at.strength] === null ? "" : `, ${dials[values[at.strategy]]} ${strengths.get(values[at.strength])}`;
    const name = `${values[at.scenario]}, ${values[at.strategy]}${strength}, seed ${values[at.seed]}`;
    const fields = Object.fromEntries(["scenario", "strategy", "strength", "seed", "status", "error"].map((field) => [field, values[at[field]]]));
    return { values, place, name, fields, key: values[at.key], text: null };
  });
  let ticked = [];
  const FIELD = /^([\w.]+)(:|!=|>=|<=|==?|>|<)(.+)$/;
  const HOLDS = {
    ":": (a, b) => a === b, "=": (a, b) => a === b, "==": (a, b) => a === b, "!=": (a, b) => a !== b,
    ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, "<": (a, b) => a < b,
  };
  /* Fields by name, and by what the table calls them: "time" is "seconds". */
  const fields = new Map(names.map((name, place) => [name, place]));
  for (const heading of headings) {
    const title = heading.querySelector("button").firstChild.data.trim().toLowerCase().replaceAll(" ", "_");
    if (!fields.has(title)) fields.set(title, at[heading.dataset.column]);
  }
  let scenario = "";
  let found = runs;
  let sorted = { place: -1, descending: false };
  let screen = 0;

  /** A value as the table shows it. */
  function written(place, value) {
    if (kinds[place] === "text") return names[place] === "key" ? value.slice(0, 10) : value;
    if (names[place] === "strength") return value === null ? "" : strengths.get(value);
    if (value === null) return NOTHING;
    if (names[place] === "seconds") return fixed(value, 1);
    if (kinds[place] === "number") return String(value);
    const percent = fixed(100 * value, 1);
    const plus = kinds[place] === "difference" && Number(percent) > 0 ? "+" : "";
    return plus + percent.replace("-", "−");
  }

  /** The text that is searched: every word of a run. */
  function words(run) {
    if (run.text === null) {
      const strength = run.values[at.strength];
      const parts = run.values.filter((_, place) => kinds[place] === "text");
      if (strength !== null) {
        parts.push(`${dials[run.values[at.strategy]]} ${strengths.get(strength)}`);
      }
      parts.push(`seed ${run.values[at.seed]}`);
      run.text = parts.join("\n").toLowerCase();
    }
    return run.text;
  }

  /** The words of a search; what is in quotes is one word, with its spaces. */
  function asWords(text) {
    const found = text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
    return found.map((word) => word.replaceAll('"', "")).filter(Boolean);
  }

  /** Whether a run has a word, or a field the value that is asked for, as the table shows it. */
  function has(run, word) {
    const [, name, sign, wanted] = word.match(FIELD) ?? [];
    if (!fields.has(name)) return words(run).includes(word);
    const place = fields.get(name);
    const value = run.values[place];
    if (kinds[place] === "text") {
      const own = value.toLowerCase();
      return sign === ":" ? own.includes(wanted) : HOLDS[sign](own, wanted);
    }
    if (value === null) return false;
    const exact = kinds[place] === "number" && names[place] !== "seconds";
    const shown = exact ? value : Number(written(place, value).replace("−", "-"));
    const [, more, number] = wanted.match(/^(>=|<=|>|<)?(.*)$/);
    return HOLDS[more ?? sign](shown, Number(number.replace("−", "-")));
  }

  function compare(a, b, place) {
    if (kinds[place] === "text") return collator.compare(a, b);
    return a - b;
  }

  /** Filter and sort the runs as the controls say. */
  function update() {
    const asked = asWords(form.elements.search.value.toLowerCase());
    const chosen = ["strategy", "status"].filter((name) => form.elements[name].value !== "");
    found = runs.filter(
      (run) =>
        (!scenario || run.values[at.scenario] === scenario) &&
        chosen.every((name) => run.values[at[name]] === form.elements[name].value) &&
        asked.every((word) => has(run, word)),
    );
    const { place, descending } = sorted;
    if (place >= 0) {
      const known = found.filter((run) => run.values[place] !== null);
      const unknown = found.filter((run) => run.values[place] === null);
      known.sort((a, b) => compare(a.values[place], b.values[place], place) * (descending ? -1 : 1));
      found = [...known, ...unknown];
    }
    screen = 0;
    render();
  }

  function cell(text, classes) {
    const inner = element("span", { className: "clamp" }, text);
    return element("td", classes ? { className: classes } : {}, inner);
  }

  /** The row of a run; a failed one has its message in place of metrics. */
  function tableRow(run) {
    const made = element("tr");
    made.dataset.strategies = JSON.stringify([run.values[at.strategy]]);
    const failed = run.values[at.status] === "failed";
    for (const place of shown) {
      if (failed && metrics.includes(place)) {
        if (place !== metrics[0]) continue;
        const message = cell(run.values[at.error] || "no message", "words message");
        message.colSpan = metrics.length;
        made.append(message);
        continue;
      }
      const plain = cell(written(place, run.values[place]), kinds[place] === "text" ? "words" : "");
      if (names[place] === "key") plain.replaceChildren(...opener(run));
      if (names[place] === "strategy") plain.replaceChildren(alone(run, plain.firstChild));
      made.append(plain);
    }
    return made;
  }

  /** Make the name of a run's strategy a button that shows it alone. */
  function alone(run, words) {
    const button = element("button", { type: "button", className: "plain" }, words);
    button.dataset.rowOf = run.values[at.strategy];
    return button;
  }

  /** Make the box that chooses a run for a comparison, and the button that opens it. */
  function opener(run) {
    const box = element("input", { type: "checkbox", checked: ticked.includes(run), ariaLabel: `Compare ${run.name}` });
    box.addEventListener("change", () => {
      ticked = [...ticked.filter((other) => other !== run), ...(box.checked ? [run] : [])].slice(-2);
      for (const other of body.querySelectorAll("input[type=checkbox]")) {
        other.checked = ticked.some((one) => other.ariaLabel === `Compare ${one.name}`);
      }
      if (ticked.length === 2) runPage.show(ticked);
    });
    const look = { type: "button", className: "plain link", title: run.key, ariaLabel: `Open ${run.name}` };
    const key = element("button", look, run.key.slice(0, 10));
    key.addEventListener("click", () => runPage.show([run]));
    return [box, key];
  }

  function render(first = screen * ROWS, last = first + ROWS) {
    const part = found.slice(first, last);
    body.replaceChildren(...part.map(tableRow));
    view.fade(body);
    const failed = found.filter((run) => run.values[at.status] === "failed").length;
    const all = found.length === runs.length ? "" : ` of ${runs.length}`;
    const rows = part.length ? `; rows ${first + 1} to ${first + part.length} are shown` : "";
    status.textContent = `${found.length}${all} runs, ${failed} failed${rows}.`;
    for (const turn of turns) {
      const next = screen + Number(turn.dataset.turn);
      // Not "disabled": the button would lose the focus when it is pressed.
      turn.setAttribute("aria-disabled", String(next < 0 || next * ROWS >= found.length));
    }
  }

  function sortBy(heading) {
    const place = at[heading.dataset.column];
    sorted = { place, descending: sorted.place === place && !sorted.descending };
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
    update();
  }

  function toCsv() {
    const lines = [names, ...runs.map((run) => run.values)].map((row) => row.map(csvCell).join(","));
    return new Blob([lines.join("\n"), "\n"], { type: "text/csv" });
  }

  for (const name of ["strategy", "status"]) {
    const values = [...new Set(runs.map((run) => run.values[at[name]]))];
    for (const value of values) form.elements[name].append(new Option(value, value));
  }
  for (const heading of headings) {
    heading.querySelector("button").addEventListener("click", () => sortBy(heading));
  }
  for (const turn of turns) {
    turn.addEventListener("click", () => {
      if (turn.getAttribute("aria-disabled") === "true") return;
      screen += Number(turn.dataset.turn);
      render();
    });
  }
  // The address keeps what is asked for.
  const options = ["search", "strategy", "status"].map((name) => view.option(name));
  const ask = () => {
    for (const option of options) {
      if (option.value !== form.elements[option.name].value) option.set(form.elements[option.name].value);
    }
  };
  form.addEventListener("input", ask);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(ask));
  box.querySelector("[data-all]").addEventListener("click", () => save("runs.csv", toCsv()));
  window.addEventListener("beforeprint", () => render(0, PRINTED));
  window.addEventListener("afterprint", () => render());
  box.hidden = false;
  view.watch((shown) => {
    scenario = shown;
    for (const { name, value } of options) form.elements[name].value = value;
    update();
  });
})();

/* The last script opens the page. */
view.open();
