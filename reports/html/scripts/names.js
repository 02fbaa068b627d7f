/* Names of strategies in tables: a click on one shows it alone, and the rows of others fade. */
(() => {
  /** Put what a heading says into a button. */
  function press(heading, strategy) {
    const words = heading.querySelector(".clamp");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.dataset.rowOf = strategy;
    words.replaceWith(button);
    button.append(words);
  }

  for (const row of document.querySelectorAll("tr[data-strategies]")) {
    const [strategy] = JSON.parse(row.dataset.strategies);
    const heading = row.querySelector("th");
    if (!heading.querySelector("[data-row-of]")) press(heading, strategy);
  }
  for (const heading of document.querySelectorAll(".matrix thead [data-strategy]")) {
    const { strategy } = heading.dataset;
    press(heading, strategy);
    for (const row of heading.closest("table").rows) row.cells[heading.cellIndex].dataset.strategies = JSON.stringify([strategy]);
  }
})();
