"use strict";

/** Save a file that was made in the report. */
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Save the unpacked file of a data: link; without this script the link gives the gzipped file. */
async function saveUnpacked(link) {
  const packed = atob(link.href.slice(link.href.indexOf(",") + 1));
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(stream).text();
  save(link.download.replace(/\.gz$/, ""), new Blob([text], { type: "text/plain" }));
}

if ("DecompressionStream" in window) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-packed]");
    if (!link) return;
    event.preventDefault();
    saveUnpacked(link);
  });
}
