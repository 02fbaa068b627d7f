/* Interactive curves of accuracy over training: means, bands and seeds, from the numbers of every run. */
const curves = (() => {
  const { add, tabStop } = drawing;
  const PANEL = { least: 240, height: 190 };
  const GAP = 26;
  const KEY = 26; // pixels: the line beside a name in a legend
  const FIRST = [10, 50];

  const seeds = view.option("seeds");
  const steps = view.option("steps");
  const log = view.option("log");

  /** Unpack the numbers of a figure once, with the curves of each variant. */
  const unpacking = new Map();
  function numbersOf(name) {
    if (!unpacking.has(name)) {
      const link = document.querySelector(`a[download="${CSS.escape(name)}.json.gz"]`);
      unpacking.set(name, unpacked(link).then((text) => {
        const found = JSON.parse(text);
        const own = found.variants.map(() => []);
        for (const curve of found.curves) own[curve.variant].push(curve);
        return { ...found, own, trainings: Math.max(...found.curves.map((curve) => curve.training)), summed: new Map() };
      }));
    }
    return unpacking.get(name);
  }

  /** The lists of accuracies of a curve that a panel shows; models are counted from 1. */
  function selected(panel, { training, accuracy }) {
    if (panel.measured === "all" && panel.model === null) return accuracy;
    if (training === 1) return [];
    if (panel.model !== null) return accuracy.slice(panel.model, panel.model + 1);
    return panel.measured === "new" ? [accuracy[training - 1]] : accuracy.slice(0, training - 1);
  }

  /** Every variant's lines in a panel: of each phase the seeds' values, their mean and interval, in per cent. */
  function linesOf(panel, numbers, margins) {
    const key = `${panel.measured} ${panel.model} ${panel.first}`;
    if (!numbers.summed.has(key)) numbers.summed.set(key, numbers.own.map((curves) => phasesOf(panel, numbers, curves, margins)));
    return numbers.summed.get(key);
  }

  function phasesOf(panel, { steps: lists, trainings, decimals }, curves, margins) {
    const phases = new Map();
    for (const curve of curves) {
      const shown = selected(panel, curve);
      if (!shown.length) continue;
      const key = panel.first ? 0 : curve.training;
      if (!phases.has(key)) phases.set(key, new Map());
      const phase = phases.get(key);
      if (!phase.has(curve.seed)) phase.set(curve.seed, new Map());
      const own = phase.get(curve.seed);
      const began = panel.first || trainings === 1 ? 0 : curve.began;
      lists[curve.steps].forEach((step, place) => {
        if (panel.first && step > panel.first) return;
        const entry = own.get(began + step) ?? [0, 0];
        for (const accuracy of shown) if (accuracy[place] !== null) { entry[0] += accuracy[place]; entry[1] += 1; }
        own.set(began + step, entry);
      });
    }
    const order = [...phases.keys()].sort((a, b) => a - b);
    return order.map((key) => summary(phases.get(key), margins, 100 / 10 ** decimals)).filter((phase) => phase.xs.length);
  }

  function summary(bySeed, margins, percent) {
    const xs = [...new Set([...bySeed.values()].flatMap((own) => [...own.keys()]))].sort((a, b) => a - b);
    const seeds = [...bySeed.values()].map((own) => xs.map((x) => {
      const [sum, count] = own.get(x) ?? [0, 0];
      return count ? (percent * sum) / count : null;
    }));
    const found = xs.map((_, place) => spread(seeds.map((own) => own[place]).filter((value) => value !== null), margins));
    const column = (name) => found.map((each) => each[name]);
    const phase = { xs, seeds, mean: column("mean"), low: column("low"), high: column("high") };
    phase.tell = (place) => {
      const { mean, low, high, values, known } = found[place];
      const interval = known ? ` [${fixed(low, 1)}, ${fixed(high, 1)}]` : "";
      const several = values.length === 1 ? "1 seed" : `${values.length} seeds`;
      const strip = values.length > 1 ? { seeds: values, mean, low: known ? low : null, high: known ? high : null } : null;
      return { told: [`step ${xs[place]}`, `${fixed(mean, 1)} %${interval}, ${several}`], strip };
    };
    return phase;
  }

  /** Mean and Student's interval within 0 and 100 %; with few seeds from the lowest to the highest. */
  function spread(values, margins) {
    const n = values.length;
    if (!n) return { mean: null, low: null, high: null, values, known: false };
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const margin = margins[n];
    if (margin === null) return { mean, low: Math.min(...values), high: Math.max(...values), values, known: false };
    const half = margin * Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
    return { mean, low: Math.max(0, mean - half), high: Math.min(100, mean + half), values, known: true };
  }

  /** The panels that are asked for: as in the figure, or each with the first steps alone. */
  function panelsOf(figure) {
    const first = Number(steps.value);
    if (!FIRST.includes(first)) return figure.panels;
    return figure.panels.filter((panel) => !panel.first).map((panel) => ({
      ...panel, first, shaded: 0, axis: panel.axis.includes("since") ? "steps since the model began" : panel.axis,
    }));
  }

  function rangeOf(phases, pick) {
    return phases.flatMap(pick).reduce(([low, high], value) => (value === null ? [low, high] : [Math.min(low, value), Math.max(high, value)]), [Infinity, -Infinity]);
  }

  /** Accuracies of all panels that are compared: some room, at least 5 points, little beyond 0 and 100 %. */
  function heights([low, high]) {
    if (low > high) return [0, 100];
    const margin = 0.04 * (high - low) + Math.max(0, 5 - (high - low)) / 2;
    return [Math.max(-1.5, low - margin), Math.min(101.5, high + margin)];
  }

  /** Where the models after the first begin, the earliest of all runs. */
  function startsOf({ curves: all }) {
    const found = new Map();
    for (const { training, began } of all) if (training > 1) found.set(training, Math.min(began, found.get(training) ?? Infinity));
    return [...found.values()];
  }

  async function draw(box, name) {
    const figure = figures[name];
    const numbers = await numbersOf(name);
    const width = Math.max(280, box.clientWidth - 24);
    const panels = panelsOf(figure);
    const single = seeds.value !== "";
    const shown = panels.map((panel) => linesOf(panel, numbers, figure.margins));
    const ups = new Map();
    for (const group of new Set(panels.map((panel) => panel.group))) {
      const own = shown.filter((_, place) => panels[place].group === group).flat(2);
      ups.set(group, heights(rangeOf(own, (phase) => (single ? phase.seeds.flat() : [...phase.low, ...phase.high, ...phase.mean]))));
    }
    const sequence = shown.filter((_, place) => !panels[place].first).flat(2);
    const whole = rangeOf(sequence, (phase) => phase.xs);
    const starts = numbers.trainings > 2 ? startsOf(numbers) : [];

    box.querySelector("svg")?.remove();
    const svg = add(box, "svg", { role: "group", "aria-label": box.dataset.label });
    const across = Math.min(panels.length, Math.max(1, Math.floor(width / PANEL.least)));
    let y = 0;
    const covers = [];
    for (const row of figure.rows) {
      y = legend(svg, row, figure, y, width);
      for (let start = 0; start < panels.length; start += across) {
        const line = panels.slice(start, start + across);
        const unit = width / line.reduce((sum, panel) => sum + panel.width, 0);
        let x = 0;
        line.forEach((panel, place) => {
          const own = shown[start + place];
          const lines = row.lines.map(([variant, label]) => ({
            ...figure.variants[variant], name: figure.variants[variant].label, strategies: [figure.variants[variant].strategy], key: label, phases: own[variant],
          })).filter((each) => each.phases.length).reverse();
          const range = panel.first ? rangeOf(own.flat(), (phase) => phase.xs) : whole;
          const room = log.value ? 0 : 0.015 * (range[1] - range[0]);
          const look = {
            title: panel.title, axis: panel.axis, shaded: panel.shaded, starts: panel.first ? [] : starts, log: log.value !== "",
            across: [range[0] - room, range[1] + room], up: ups.get(panel.group),
          };
          if (panel.first && steps.value) look.title = `${panel.title}, first ${panel.first} steps`;
          const frame = { x, y, width: unit * panel.width, height: PANEL.height };
          covers.push(chart.panel(svg, frame, look, lines, { single, chosen: (each) => view.only(each.strategies[0]), said: speech(box) }));
          x += unit * panel.width;
        });
        y += PANEL.height;
      }
      y += 10;
    }
    for (const [key, value] of Object.entries({ width, height: y, viewBox: `0 0 ${width} ${y}` })) svg.setAttribute(key, value);
    tabStop(covers);
    covers.forEach((cover, place) => {
      cover.addEventListener("focus", () => tabStop(covers, cover));
      // The arrow keys leave a panel where its last curve ends.
      cover.addEventListener("leave", (event) => covers[place + event.detail]?.focus());
    });
    view.fade();
  }

  /** Draw the legend of a row in as many lines as it needs; returns where the panels begin. */
  function legend(svg, row, figure, y, width) {
    let x = 0;
    let line = y + 14;
    const place = (group, wide) => {
      if (x && x + wide > width) [x, line] = [0, line + 18];
      group.setAttribute("transform", `translate(${x} ${line})`);
      x += wide + 16;
    };
    if (row.title) {
      const title = add(svg, "g", {});
      const text = add(title, "text", { class: "row" }, row.title);
      place(title, text.getComputedTextLength());
    }
    for (const [variant, label] of row.lines) {
      const own = figure.variants[variant];
      const group = add(svg, "g", own.strategy ? { class: "key", "data-strategies": JSON.stringify([own.strategy]) } : {});
      add(group, "line", { x1: 0, x2: KEY - 6, y1: -4, y2: -4, stroke: own.color, "stroke-width": 2, "stroke-dasharray": own.dash });
      const text = add(group, "text", { x: KEY }, label);
      if (own.strategy) group.addEventListener("click", () => view.only(own.strategy));
      place(group, KEY + text.getComputedTextLength());
    }
    return line + 8;
  }

  /** A live region for screen readers: the point that the arrow keys have reached. */
  function speaker() {
    const status = element("div", { className: "hidden" });
    status.setAttribute("role", "status");
    return status;
  }

  const speech = (box) => (text) => { box.querySelector("[role=status]").textContent = text; };

  /** Add the controls above a figure; the address keeps their state. */
  function switches(box) {
    const bar = element("div", { className: "switches" });
    const follow = [];
    const check = (option, text) => {
      const input = element("input", { type: "checkbox" });
      follow.push(() => { input.checked = option.value !== ""; });
      input.addEventListener("change", () => option.set(input.checked ? "1" : ""));
      bar.append(element("label", {}, input, text));
    };
    check(seeds, "seeds one by one");
    const firsts = FIRST.map((count) => new Option(`the first ${count} steps`, count));
    const select = element("select", {}, new Option("the whole training", ""), ...firsts);
    follow.push(() => { select.value = FIRST.includes(Number(steps.value)) ? steps.value : ""; });
    select.addEventListener("change", () => steps.set(select.value));
    bar.append(element("label", {}, "show", select));
    check(log, "logarithmic steps");
    box.append(bar, speaker());
    return () => follow.forEach((each) => each());
  }

  /* Of one run, a colour for each model; with more models they come again, dashed. */
  const INKS = ["#1f1f1d", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00"];

  /** Draw the curves of one finished run into a box, which is shown then: every model, over all of the training. */
  async function ofRun(box, { scenario, strategy, strength, seed }) {
    // Several suites may have a scenario of this name: the first is shown whose figure has the run.
    let [own, lists, decimals] = [[]];
    for (const [name, figure] of Object.entries(figures)) {
      const place = figure.variants.findIndex((each) => each.strategy === strategy && each.strength === strength);
      if (figure.scenario !== scenario || place < 0 || own.length) continue;
      const numbers = await numbersOf(name);
      own = numbers.own[place].filter((curve) => curve.seed === seed);
      ({ steps: lists, decimals } = numbers);
    }
    if (!own.length) return;
    box.hidden = false;
    const models = own.at(-1).accuracy.map((_, model) => model);
    const lines = models.map((model) => ({
      name: `model ${model + 1}`, strategies: [], color: INKS[model % INKS.length], dash: model < INKS.length ? "" : "5 3",
      phases: own.filter((curve) => model in curve.accuracy).map((curve) => {
        const mean = curve.accuracy[model].map((value) => (value === null ? null : (100 * value) / 10 ** decimals));
        const xs = lists[curve.steps].map((step) => curve.began + step);
        const tell = (place) => ({ told: [`step ${xs[place]}, while model ${curve.training} trains`, `${fixed(mean[place], 1)} %`] });
        return { xs, mean, low: mean, high: mean, seeds: [], tell };
      }),
    }));
    const phases = lines.flatMap((line) => line.phases);
    const width = Math.min(720, Math.max(280, box.parentNode.clientWidth - 64));
    box.append(speaker());
    const svg = add(box, "svg", { role: "group", "aria-label": "Accuracy of each model over the training" });
    const row = { title: "", lines: lines.map((line, place) => [place, line.name]) };
    const y = legend(svg, row, { variants: lines }, 0, width);
    const [low, high] = rangeOf(phases, (phase) => phase.xs);
    const starts = own.filter((curve) => curve.training > 1).map((curve) => curve.began);
    const look = {
      title: "accuracy", axis: models.length > 1 ? "steps since model 2 began" : "steps", log: false, shaded: 0, starts,
      across: [low - 0.015 * (high - low), high + 0.015 * (high - low)], up: heights(rangeOf(phases, (phase) => phase.mean)),
    };
    const cover = chart.panel(svg, { x: 0, y, width, height: PANEL.height + 30 }, look, lines, { said: speech(box) });
    cover.setAttribute("tabindex", 0);
    for (const [key, value] of Object.entries({ width, height: y + PANEL.height + 30 })) svg.setAttribute(key, value);
  }

  function toCsv({ variants, steps: lists, curves: all, decimals }) {
    const lines = ["variant,seed,training,model,step,accuracy"];
    for (const { variant, seed, training, steps: list, accuracy } of all) {
      accuracy.forEach((own, model) => own.forEach((value, place) => {
        lines.push([csvCell(variants[variant]), seed, training, model + 1, lists[list][place], value === null ? "" : fixed(value / 10 ** decimals, decimals)].join(","));
      }));
    }
    return `${lines.join("\n")}\n`;
  }

  const figures = data.curves;
  const drawn = new Map();
  const controls = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) target.dataset.seen = isIntersecting ? "yes" : "";
    redraw();
  }, { rootMargin: "600px" });

  function redraw() {
    for (const box of document.querySelectorAll("[data-curves]")) {
      if (!box.dataset.seen) continue;
      const state = [box.clientWidth, seeds.value, steps.value, log.value].join();
      if (drawn.get(box) === state) continue;
      drawn.set(box, state);
      controls.get(box)();
      draw(box, box.dataset.curves);
    }
  }

  for (const box of document.querySelectorAll("[data-curves]")) {
    controls.set(box, switches(box));
    box.hidden = false;
    seen.observe(box);
  }
  for (const button of document.querySelectorAll("[data-curves-csv]")) {
    button.hidden = false;
    button.addEventListener("click", async () => save(`${button.dataset.curvesCsv}.csv`, new Blob([toCsv(await numbersOf(button.dataset.curvesCsv))], { type: "text/csv" })));
  }
  view.watch(redraw);
  window.addEventListener("resize", redraw);
  return { ofRun };
})();
