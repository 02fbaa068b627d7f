/* Active runs, asked for every two seconds; and the newer report, when the reader wants it. */
(() => {
  const PAUSE = 2000;
  const KEPT = "palimpsest-place";
  const section = document.getElementById("under-way");
  const { store } = section.dataset;
  const version = Number(section.dataset.version);
  const place = (name) => document.getElementById(`watch-${name}`);
  const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

  /** Set a text where it has changed. */
  function write(target, text) {
    if (target.textContent !== text) target.textContent = text;
    target.hidden = text === "";
  }

  /** Make the children of a list those of some items, by their keys; each is made once and then filled. */
  function fill(list, items, key, make, update) {
    const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
    items.forEach((item, index) => {
      const name = String(item[key]);
      let child = old.get(name);
      if (!child) {
        child = make(item);
        child.dataset.key = name;
      }
      old.delete(name);
      update(child, item);
      if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
    });
    for (const child of old.values()) child.remove();
  }

  // Live regions: only what a reader would want to be told, and not what changes all the time.
  const say = (text) => { place("said").textContent = text; };

  function showProcess(box, told) {
    const { state, done, total, left, ago, where } = told;
    const words = `${done} of ${count(total, "run")} ${total === 1 ? "has" : "have"} ended`;
    const advice = "the same 'palimpsest run' command goes on from there";
    const text = {
      running: `${words}${left ? `, about ${left} left` : ""}.`,
      interrupted: `Interrupted ${ago} ago: ${words}; ${advice}.`,
      stopped: `Stopped: nothing was heard of ${where} for ${ago}. ${words}; ${advice}.`,
    }[state];
    const line = box.querySelector("p");
    write(line, text);
    line.classList.toggle("bad", state !== "running");
    const bar = box.querySelector("progress");
    bar.max = total;
    bar.value = done + told.jobs.reduce((sum, job) => sum + job.fraction * job.runs, 0);
    fill(box.querySelector(".jobs"), told.jobs, "key", () => element("li", {}, element("div"), chart(), element("div", { className: "soft" })), showJob);
  }

  function newProcess() {
    return element("div", {}, element("p"), element("progress", { ariaLabel: "Runs that have ended" }), element("ul", { className: "jobs" }));
  }

  function showJob(item, job) {
    const [title, , state] = item.children;
    write(title, job.label);
    const last = atLast(job.curves);
    write(state, `${Math.floor(100 * job.fraction)} % done after ${job.since}${last ? `; ${last}` : ""}`);
    draw(item.querySelector("svg"), job, last);
  }

  function chart() {
    return drawing.add(new DocumentFragment(), "svg", { role: "img", preserveAspectRatio: "none", viewBox: "0 0 200 100" });
  }

  /** The last accuracies in words. */
  function atLast(curves) {
    const curve = curves.at(-1);
    const found = (curve?.accuracy ?? []).map((line) => line.at(-1) ?? null);
    if (found.every((value) => value === null)) return "";
    const percent = (value) => (value === null ? "unknown" : `${Math.round(100 * value)} %`);
    if (found.length < 5) return found.map((value, model) => `model ${model + 1} at ${percent(value)}`).join(", ");
    const earlier = found.slice(0, -1).filter((value) => value !== null);
    const mean = earlier.length ? earlier.reduce((sum, value) => sum + value, 0) / earlier.length : null;
    return `model ${found.length} at ${percent(found.at(-1))}, those before it at ${percent(mean)} on average`;
  }

  /** A line for each model: its accuracy over the steps of all trainings so far. */
  function draw(svg, { curves, color, label }, last) {
    const ends = curves.map((curve) => curve.steps.at(-1) ?? 0);
    const all = Math.max(1, ends.reduce((sum, end) => sum + end, 0));
    svg.setAttribute("aria-label", `Accuracy over steps, ${label}${last ? `: ${last}` : ": nothing measured yet"}`);
    const x = (step) => 3 + (194 * step) / all;
    const y = (value) => 95 - 90 * value;
    const paths = [[`M0 ${y(0)}H200M0 ${y(0.5)}H200M0 ${y(1)}H200`, { class: "grid" }]];
    const ways = [];
    let before = 0;
    curves.forEach((curve, turn) => {
      if (turn) paths.push([`M${x(before)} 0V100`, { class: "turn" }]);
      curve.accuracy.forEach((line, model) => {
        const points = line.flatMap((value, at) => (value === null ? [] : [`${x(before + curve.steps[at]).toFixed(1)} ${y(value).toFixed(1)}`]));
        if (points.length === 1) points.push(points[0]);
        if (points.length) ways.push([`M${points.join("L")}`, { stroke: color, "stroke-width": model === curve.model ? 2.2 : 1.3, "stroke-linecap": "round" }]);
      });
      before += ends[turn];
    });
    svg.replaceChildren();
    for (const [d, look] of [...paths, ...ways]) drawing.add(svg, "path", { d, ...look });
  }

  function showFailures(failures) {
    const box = place("failures");
    box.hidden = failures.length === 0;
    const make = () => element("li", {}, element("strong"), " ", element("span", { className: "bad" }), element("pre", { tabIndex: 0, role: "group", ariaLabel: "Message" }));
    fill(box.querySelector("ul"), failures, "key", make, (item, failure) => {
      const [label, kind, message] = item.children;
      write(label, failure.label);
      write(kind, failure.kind);
      write(message, failure.message);
    });
  }

  let before = null;
  function show(told) {
    write(place("problem"), told.problem);
    if (!told.processes) return;
    fill(place("processes"), told.processes, "id", newProcess, showProcess);
    place("key").hidden = !told.processes.some((each) => each.jobs.length);
    showFailures(told.failures);
    const running = told.processes.some((each) => each.state === "running");
    const had = before?.processes.some((each) => each.state === "running");
    const ended = had && !told.processes.length;
    const rest = ended || (place("rest").dataset.ended && !told.processes.length);
    if (rest) place("rest").dataset.ended = "yes";
    else delete place("rest").dataset.ended;
    const held = `The store has ${count(told.runs, "run")}`;
    write(place("rest"), told.processes.length ? "" : rest ? `All runs have ended. ${held}.` : `Nothing is under way. ${held}.`);
    if (before) {
      const known = new Set(before.failures.map((each) => each.key));
      const failed = told.failures.filter((each) => !known.has(each.key));
      if (failed.length) say(`Failed: ${failed.map((each) => each.label).join("; ")}.`);
      else if (ended) say("All runs have ended.");
      else if (had && !running) say("The suite has stopped.");
    }
    before = told;
    offer(told.report);
  }

  // The newer report

  let touched = false;
  for (const kind of ["pointerdown", "keydown", "wheel", "touchstart", "focusin"]) {
    window.addEventListener(kind, () => { touched = true; }, { once: true, passive: true });
  }

  const button = element("button", { type: "button", id: "watch-show", hidden: true });
  (document.querySelector(".bar") ?? section).append(button);
  button.addEventListener("click", () => renew(true));

  function offer(report) {
    if (report.version === version) return;
    if (version === 0 || (!touched && scrollY === 0)) {
      renew(false);
      return;
    }
    const more = report.runs - Number(section.dataset.runs);
    const text = more > 0 ? `${count(more, "new run")}: show` : "New results: show";
    if (button.hidden) say("There are new results to show.");
    write(button, text);
  }

  /** Load the page again; the reader stays where they are: at a distance from what is just above. */
  function renew(asked) {
    const marks = [...document.querySelectorAll("main :is(section, h3)[id]")].filter((each) => each.getClientRects().length);
    const above = marks.filter((each) => each.getBoundingClientRect().top <= 80).at(-1);
    const kept = { asked, id: scrollY > 0 && above ? above.id : "", top: above?.getBoundingClientRect().top, y: scrollY };
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
    history.scrollRestoration = "manual";
    location.reload();
  }

  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  sessionStorage.removeItem(KEPT);
  history.scrollRestoration = "auto";

  /** Go to where the reader was, once what stands above is there. */
  function back() {
    if (!kept) return;
    const mark = kept.id && document.getElementById(kept.id);
    scrollTo(0, mark ? mark.getBoundingClientRect().top + scrollY - kept.top : kept.y);
    if (!kept.asked) return;
    document.getElementById("under-way-heading").focus({ preventScroll: true });
    touched = true;
  }

  // Asking

  let timer = 0;
  let missed = 0;
  async function ask() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch("news", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      missed = 0;
      const first = before === null;
      show(await answer.json());
      if (first) back();
    } catch {
      missed += 1;
      if (missed === 2) {
        const gone = `The server has gone: 'palimpsest watch ${store}' starts it again, at a new address.`;
        write(place("problem"), gone);
        say(gone);
      }
    }
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  }
  document.addEventListener("visibilitychange", ask);
  ask();
})();
