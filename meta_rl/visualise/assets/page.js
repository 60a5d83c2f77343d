"use strict";
// Tabs, light and dark, commands to copy, and the link from the heatmap to the replay. The drawing is in replay.js.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  // The style sheet follows the system, until a reader chooses; page.html reads the choice before anything is shown.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => document.dispatchEvent(new Event("theme"));
  dark.addEventListener("change", redraw);
  document.querySelector(".theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    try { localStorage.setItem("meta-rl theme", root.dataset.theme); } catch {} // not remembered where it is forbidden
    redraw();
  });

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    throw new Error("no clipboard");
  };
  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", () => {
      const shown = button.parentElement.querySelector("pre");
      const say = (word) => {
        button.textContent = word;
        setTimeout(() => (button.textContent = "Copy"), 1500);
      };
      copy(shown.textContent).then(
        () => say("Copied"),
        () => {
          window.getSelection().selectAllChildren(shown); // a key is left to press
          say("Selected");
        },
      );
    }),
  );

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

  const tabs = [...document.querySelectorAll("[data-tab]")];
  const choose = (tab) => {
    tabs.forEach((other) => {
      other.setAttribute("aria-selected", String(other === tab));
      other.tabIndex = other === tab ? 0 : -1;
    });
    document.querySelectorAll(".run").forEach((run) => (run.hidden = run.dataset.run !== tab.dataset.tab));
    redraw();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
})();
