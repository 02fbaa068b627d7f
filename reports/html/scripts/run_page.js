/* The page of one run, and what differs between two. */
const runPage = (() => {
  const { facts, runs } = data.details;
  const place = document.getElementById("run-page");
  let shown = [];

  function make(name, text, classes) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (classes) made.className = classes;
    return made;
  }

  function table(title, headings, rows) {
    const box = make("div", undefined, "scroll");
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `Table: ${title}`);
    const made = make("table", undefined, "compact");
    made.append(make("caption", title));
    const head = made.createTHead().insertRow();
    for (const heading of headings) {
      const cell = make("th", heading);
      cell.scope = "col";
      head.append(cell);
    }
    const body = made.createTBody();
    for (const [first, ...rest] of rows) {
      const row = body.insertRow();
      const cell = make("th", first, "words");
      cell.scope = "row";
      row.append(cell, ...rest.map((text) => make("td", text, "long-text")));
    }
    box.append(made);
    return box;
  }

  const percent = (value) => (value === null ? "–" : fixed(100 * value, 1));

  function folded(title, content, open) {
    const box = make("details");
    box.open = open;
    box.append(make("summary", title), content);
    return box;
  }

  function list(pairs) {
    const made = make("dl", undefined, "facts");
    for (const [name, text] of pairs) {
      const line = make("div");
      line.append(make("dt", name), make("dd", text));
      made.append(line);
    }
    return made;
  }

  function one(run) {
    const own = runs[run.place];
    const parts = [];
    if (run.fields.error && !own.traceback) parts.push(make("pre", run.fields.error));
    if (own.traceback) parts.push(folded("Traceback", make("pre", own.traceback), true));
    const drawn = make("div", undefined, "card live");
    drawn.hidden = true;
    if (run.fields.status === "done") parts.push(drawn);
    if (own.matrix) {
      const models = own.matrix[0].map((_, model) => `model ${model + 1}`);
      const before = own.initial ? [["before any training", ...own.initial.map(percent)]] : [];
      const rows = own.matrix.map((row, model) => [`after model ${model + 1}`, ...row.map(percent)]);
      parts.push(table("Accuracy on the test set, %", ["when", ...models], [...before, ...rows]));
    }
    if (own.moments) {
      const models = own.moments[0][2].map((_, model) => `model ${model + 1}`);
      const rows = own.moments.map(([visit, steps, row]) => [String(visit), String(steps), ...row.map(percent)]);
      parts.push(table("Accuracy on the test set at each moment, %", ["visit", "steps", ...models], rows));
    }
    for (const [name, columns, rows] of own.probes ?? []) {
      const written = rows.map((row) => row.map((value) => (value === null ? "–" : String(value))));
      parts.push(folded(`Probe: ${name}`, table(`Probe: ${name}`, columns, written), false));
    }
    if (own.classes) parts.push(folded("Classes of each experience", list(own.classes), false));
    parts.push(folded("Settings", list(own.settings.map((fact) => facts[fact])), !own.traceback));
    if (own.cost) parts.push(folded("Time and memory", list(own.cost), false));
    parts.push(folded("Made with", list(own.made.map((fact) => facts[fact])), false));
    return parts;
  }

  function two(a, b) {
    const [left, right] = [a, b].map((run) => new Map(runs[run.place].settings.map((fact) => facts[fact])));
    const names = [...new Set([...left.keys(), ...right.keys()])].filter((name) => left.get(name) !== right.get(name));
    if (!names.length) return [make("p", "Their settings are the same.")];
    const rows = names.map((name) => [name, left.get(name) ?? "not set", right.get(name) ?? "not set"]);
    return [table("What differs between their settings", ["setting", a.name, b.name], rows)];
  }

  function render() {
    const [a, b] = shown;
    place.hidden = !a;
    if (!a) return;
    const title = make("h4", b ? `${a.name} and ${b.name}` : a.name);
    title.tabIndex = -1;
    const close = make("button", "Close");
    close.type = "button";
    close.addEventListener("click", () => show([]));
    place.replaceChildren(title, ...(b ? two(a, b) : one(a)), close);
    const box = place.querySelector(".live");
    if (box) curves.ofRun(box, a.fields);
  }

  /** Show one run, what differs between two, or nothing. */
  function show(chosen) {
    shown = chosen;
    render();
    if (chosen.length) {
      place.scrollIntoView({ block: "nearest" });
      place.querySelector("h4").focus({ preventScroll: true });
    }
  }

  return { show, keys: () => shown.map((run) => run.key) };
})();
