"use strict";

/** Save a file that was made in the report. */
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A value as a cell of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe. */
function csvCell(value) {
  let text = value === null ? "" : String(value);
  if (typeof value === "string") {
    text = text.replace(/\r\n?/g, "\n");
    // See reports/formats/data.py.
    const formula = /^[=+\-@\t\n＝＋－＠]/.test(text) && !/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text);
    if (formula) text = `'${text}`;
  }
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The text of a gzipped file in a data: link. */
async function unpacked(link) {
  const packed = atob(link.href.slice(link.href.indexOf(",") + 1));
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** Save the unpacked file of a link; without this script the link gives the gzipped file. */
async function saveUnpacked(link) {
  save(link.download.replace(/\.gz$/, ""), new Blob([await unpacked(link)], { type: "text/plain" }));
}

if ("DecompressionStream" in window) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-packed]");
    if (!link) return;
    event.preventDefault();
    saveUnpacked(link);
  });
}


/** A figure as an SVG document of its own, on white. */
function pictureOf(name) {
  const svg = document.getElementById(`figure-${name}`).querySelector("svg").cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of [["width", width], ["height", height], ["fill", "#fff"]]) paper.setAttribute(key, value);
  svg.insertBefore(paper, svg.firstChild);
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

/** The same in pixels, sharp in print. */
async function pixelsOf({ text, width, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  const scale = 200 / 72;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

for (const button of document.querySelectorAll("[data-picture]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const { picture, kind } = button.dataset;
    const found = pictureOf(picture);
    const blob = kind === "SVG" ? new Blob([found.text], { type: "image/svg+xml" }) : await pixelsOf(found);
    save(`${picture}.${kind.toLowerCase()}`, blob);
  });
}
