"use strict";
// Tabs, light and dark, and the link from the heatmap to the replay. The drawing is in replay.js.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  root.dataset.theme = dark.matches ? "dark" : "light";
  document.querySelector(".theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  });

  document.querySelectorAll(".run").forEach((run, index) => {
    const place = run.querySelector("[data-replay]");
    if (!place) return;
    const parts = data.runs[index].parts;
    const player = new Player(place, data, data.runs[index].names);
    const open = (cell) => {
      const part = cell.closest("[data-part]").dataset.part;
      run.querySelectorAll(".cell[aria-pressed]").forEach((other) => other.removeAttribute("aria-pressed"));
      cell.setAttribute("aria-pressed", "true");
      return player.show(parts[part], part, Number(cell.dataset.task), Number(cell.dataset.stage));
    };
    run.querySelector(".map").addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (!cell) return;
      open(cell);
      const box = place.getBoundingClientRect();
      if (box.bottom < 80 || box.top > window.innerHeight - 80) place.scrollIntoView({ block: "nearest" });
    });
    const last = run.querySelector(`.tile .cell[data-task="${data.runs[index].opened}"]:last-child`);
    if (last) open(last);
  });

  const tabs = document.querySelectorAll("[data-tab]");
  tabs.forEach((tab) =>
    tab.addEventListener("click", () => {
      tabs.forEach((other) => other.setAttribute("aria-selected", String(other === tab)));
      document.querySelectorAll(".run").forEach((run) => (run.hidden = run.dataset.run !== tab.dataset.tab));
      document.dispatchEvent(new Event("theme"));
    }),
  );
})();
