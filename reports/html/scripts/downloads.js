"use strict";

/** Save a file that was made in the report. */
function save(name, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** A number with so many decimals; nothing rounds to minus zero. */
function fixed(value, digits) {
  return value.toFixed(digits).replace(/^-(?=[0.]+$)/, "");
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
