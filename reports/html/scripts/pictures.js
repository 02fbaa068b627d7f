/* Exports of figures as they are shown: to the clipboard, as files, and as a page that the browser prints. */
(() => {
  const { add } = drawing;
  /* What classes and the page give to the elements of a figure that can be touched. */
  const LOOK = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-weight"];
  /* What only the page needs. */
  const PAGE = ["class", "role", "tabindex", "aria-label", "aria-hidden", "data-mark", "data-strategies"];
  const SCALE = 200 / 72; // of pixels: sharp in print
  const MARGIN = 12; // pixels, above and below a figure that can be touched

  /** A copy of an SVG that needs neither the page nor its styles. */
  function plain(svg, look) {
    const copy = svg.cloneNode(true);
    const parts = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((part, place) => {
      const shown = look.length || parts[place].matches(".faded") ? getComputedStyle(parts[place]) : null;
      for (const name of shown ? ["opacity", ...look] : []) part.style.setProperty(name, shown.getPropertyValue(name));
      for (const name of PAGE) part.removeAttribute(name);
    });
    return copy;
  }

  /** The lines of a text of the page, each with its place. */
  function linesOf(text) {
    const lines = [];
    const range = document.createRange();
    for (let place = 0; place < text.length; place += 1) {
      range.setStart(text, place);
      range.setEnd(text, place + 1);
      const { left, top, bottom } = range.getBoundingClientRect();
      if (lines.at(-1)?.top !== top) lines.push({ left, top, bottom, text: "" });
      // In words from right to left the first letter is not the leftmost.
      lines.at(-1).left = Math.min(lines.at(-1).left, left);
      lines.at(-1).text += text.data[place];
    }
    return lines;
  }

  /** A figure that can be touched, with its legend, as it is shown. */
  function liveOf(box) {
    // What is drawn, and legends; not the controls above.
    const drawn = [...box.querySelectorAll("svg, .keys button")].map((part) => part.getBoundingClientRect());
    const frame = { left: box.getBoundingClientRect().left, top: Math.min(...drawn.map(({ top }) => top)) - MARGIN };
    const width = Math.ceil(box.getBoundingClientRect().width);
    const height = Math.ceil(Math.max(...drawn.map(({ bottom }) => bottom)) + MARGIN - frame.top);
    const whole = add(new DocumentFragment(), "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": box.dataset.label });
    for (const svg of box.querySelectorAll("svg")) {
      const { left, top } = svg.getBoundingClientRect();
      const copy = plain(svg, LOOK);
      copy.setAttribute("x", left - frame.left);
      copy.setAttribute("y", top - frame.top);
      const entry = svg.closest(".keys button");
      if (entry) copy.style.setProperty("opacity", getComputedStyle(entry).opacity);
      whole.append(copy);
    }
    for (const entry of box.querySelectorAll(".keys button")) {
      const { color, opacity, fontFamily, fontSize } = getComputedStyle(entry);
      const style = `fill: ${color}; opacity: ${opacity}; font-family: ${fontFamily.replaceAll('"', "'")}; font-size: ${fontSize}`;
      for (const text of [...entry.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE)) {
        for (const line of linesOf(text)) {
          const y = (line.top + line.bottom) / 2 - frame.top;
          add(whole, "text", { x: line.left - frame.left, y, "dominant-baseline": "central", style }, line.text);
        }
      }
    }
    return { svg: whole, width, height, unit: "px" };
  }

  /** A figure as an SVG of its own, on white: the one that is shown, which may be its live version. */
  function pictureOf(name) {
    const card = document.getElementById(`figure-${name}`);
    let live = card.getClientRects().length ? null : card.closest(".static");
    while (live && !live.matches(".live")) live = live.previousElementSibling;
    // What was never in view may not have been drawn yet.
    const found = live?.querySelector("svg") ? liveOf(live) : staticOf(card.querySelector("svg"));
    const { svg, width, height } = found;
    svg.setAttribute("xmlns", svg.namespaceURI);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.prepend(add(svg, "rect", { width, height, fill: "#fff" }));
    return { ...found, text: new XMLSerializer().serializeToString(svg) };
  }

  function staticOf(svg) {
    const copy = plain(svg, []);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    copy.setAttribute("role", "img");
    copy.setAttribute("aria-label", svg.getAttribute("aria-label"));
    return { svg: copy, width, height, unit: "pt" };
  }

  /** The same in pixels. */
  async function pixelsOf({ text, width, height }) {
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = element("canvas", { width: Math.round(width * SCALE), height: Math.round(height * SCALE) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  /** Print one figure alone on a page of its size: the browser makes a PDF of vectors and text. */
  function print(name) {
    const { svg, width, height, unit } = pictureOf(name);
    const page = element("style", {}, `@page { size: ${Math.ceil(width) + 1}${unit} ${Math.ceil(height) + 1}${unit}; margin: 0; }`);
    svg.style.width = `${width}${unit}`;
    svg.style.height = `${height}${unit}`;
    const sheet = element("div", { className: "sheet" }, svg);
    document.head.append(page);
    document.body.prepend(sheet); // first: what refers to an id finds that of the sheet, which is shown
    document.documentElement.classList.add("alone");
    const { title } = document;
    document.title = name; // what the browser calls the file
    window.addEventListener("afterprint", () => {
      document.documentElement.classList.remove("alone");
      page.remove();
      sheet.remove();
      document.title = title;
    }, { once: true });
    window.print();
  }

  async function toClipboard(name, button) {
    const words = button.firstChild;
    const { data: before } = words;
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": pixelsOf(pictureOf(name)) })]);
      words.data = "copied";
    } catch {
      words.data = "not allowed here";
    }
    setTimeout(() => { words.data = before; }, 2000);
  }

  const TAKE = {
    Copy: toClipboard,
    SVG: (name) => save(`${name}.svg`, new Blob([pictureOf(name).text], { type: "image/svg+xml" })),
    PNG: async (name) => save(`${name}.png`, await pixelsOf(pictureOf(name))),
    PDF: print,
  };
  const copies = Boolean(navigator.clipboard?.write && window.ClipboardItem);
  for (const button of document.querySelectorAll("[data-picture]")) {
    const { kind } = button.dataset;
    button.hidden = kind === "Copy" && !copies;
    if (kind === "Copy") button.setAttribute("aria-live", "polite");
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-picture]");
    if (button) TAKE[button.dataset.kind](button.dataset.picture, button);
  });
})();
