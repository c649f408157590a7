// Keeps the figures of the page current. The page is whole without it.
"use strict";

(() => {
  const body = document.body;
  const letter = body.dataset.map;
  const live = document.getElementById("live");
  const rows = new Map();
  for (const row of document.querySelectorAll("[data-row]")) rows.set(row.dataset.row, row);

  const set = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  function colour(code, level) {
    for (const path of document.querySelectorAll(`path[data-country="${code}"]`)) {
      const kept = [...path.classList].filter((name) => name === "blocked" || name === "chosen");
      path.setAttribute("class", [level ? letter + level : "zero", ...kept].join(" "));
    }
  }

  function show(update) {
    set(live, `Live, ${new Date().toLocaleTimeString()}`);
    document.getElementById("changed").hidden = update.mark === body.dataset.mark;
    for (const [name, text] of Object.entries(update.figures)) {
      set(document.querySelector(`[data-figure="${name}"]`), text);
    }
    for (const [code, [blocked, passed, blockedLevel, passedLevel]] of Object.entries(update.countries)) {
      const isPassed = letter === "p";
      colour(code, isPassed ? passedLevel : blockedLevel);
      for (const cell of document.querySelectorAll(`[data-country-count="${code}"]`)) {
        set(cell, isPassed ? passed : blocked);
      }
      set(document.querySelector(`[data-blocked-of="${code}"]`), blocked);
      set(document.querySelector(`[data-passed-of="${code}"]`), passed);
    }
    // The first update after a pause has no rates yet.
    if (!("blocked-rate" in update.figures)) return;
    for (const [name, row] of rows) {
      const [packets, bytes, rate] = update.rows[name] ?? [];
      const cells = row.cells;
      if (packets !== undefined) {
        set(cells[3], packets);
        set(cells[4], bytes);
      }
      set(cells[5], rate ?? "0");
    }
  }

  const source = new EventSource("/page/live");
  source.onmessage = (event) => show(JSON.parse(event.data));
  source.onerror = () => {
    // A stream ends after some seconds, and the browser opens another one.
    if (source.readyState === EventSource.CLOSED) set(live, "The figures are no longer live. Reload the page.");
  };
  // A page that is not shown needs no figures, and takes no place of another one.
  addEventListener("pagehide", () => source.close());
})();
