/* The page of one run, and the differences between two. */
const runPage = (() => {
  const { facts, runs } = data.details;
  const place = document.getElementById("run-page");
  let shown = [];

  function table(title, headings, rows) {
    const made = element("table", { className: "compact" }, element("caption", {}, title));
    made.createTHead().insertRow().append(...headings.map((heading) => element("th", { scope: "col" }, heading)));
    const body = made.createTBody();
    for (const [first, ...rest] of rows) {
      const cells = rest.map((text) => element("td", { className: "long-text" }, text));
      body.insertRow().append(element("th", { scope: "row", className: "words" }, first), ...cells);
    }
    return element("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: `Table: ${title}` }, made);
  }

  const percent = (value) => (value === null ? "–" : fixed(100 * value, 1));

  function folded(title, content, open) {
    return element("details", { open }, element("summary", {}, title), content);
  }

  function list(pairs) {
    const lines = pairs.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)));
    return element("dl", { className: "facts" }, ...lines);
  }

  function one(run) {
    const own = runs[run.place];
    const parts = [];
    if (run.fields.error && !own.traceback) parts.push(element("pre", {}, run.fields.error));
    if (own.traceback) parts.push(folded("Traceback", element("pre", {}, own.traceback), true));
    if (run.fields.status === "done") parts.push(element("div", { className: "card live", hidden: true }));
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
    if (!names.length) return [element("p", {}, "Their settings are the same.")];
    const rows = names.map((name) => [name, left.get(name) ?? "not set", right.get(name) ?? "not set"]);
    return [table("What differs between their settings", ["setting", a.name, b.name], rows)];
  }

  function render() {
    const [a, b] = shown;
    place.hidden = !a;
    if (!a) return;
    const title = element("h4", { tabIndex: -1 }, b ? `${a.name} and ${b.name}` : a.name);
    const close = element("button", { type: "button" }, "Close");
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
