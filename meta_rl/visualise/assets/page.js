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
  const say = (button, word) => {
    const usual = (button.dataset.usual ||= button.textContent);
    button.textContent = word;
    setTimeout(() => (button.textContent = usual), 1500);
  };
  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", () => {
      const shown = button.parentElement.querySelector("pre");
      copy(shown.textContent).then(
        () => say(button, "Copied"),
        () => {
          window.getSelection().selectAllChildren(shown); // a key is left to press
          say(button, "Selected");
        },
      );
    }),
  );

  const runs = [...document.querySelectorAll(".run")].map((run, index) => {
    const { parts, names, opened, split, tab, files } = data.runs[index];
    run.querySelectorAll("[data-download]").forEach((button) =>
      button.addEventListener("click", async () => {
        const { name, type, packed } = files[button.dataset.download];
        const url = URL.createObjectURL(new Blob([await unpack(packed)], { type }));
        Object.assign(document.createElement("a"), { href: url, download: name }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60000);
      }),
    );
    const place = run.querySelector("[data-replay]");
    if (!place) return { tab, first: () => {} };
    const player = new Player(place, data, names);
    const open = (part, row, stage, step) => {
      run.querySelectorAll(".cell[aria-pressed]").forEach((other) => other.removeAttribute("aria-pressed"));
      run.querySelector(`[data-part="${part}"] .cell[data-task="${row}"][data-stage="${stage}"]`)?.setAttribute("aria-pressed", "true");
      return player.show(parts[part], part, row, stage, step);
    };
    const link = () => player.task && follow(tab, player.moment);
    run.querySelector(".map").addEventListener("click", async (event) => {
      const cell = event.target.closest(".cell");
      if (!cell) return;
      const opening = open(cell.closest("[data-part]").dataset.part, Number(cell.dataset.task), Number(cell.dataset.stage));
      const box = place.getBoundingClientRect();
      if (box.bottom < 80 || box.top > window.innerHeight - 80) place.scrollIntoView({ block: "nearest" });
      await opening;
      link();
    });
    place.addEventListener("moment", link);
    place.querySelector("[data-link]").addEventListener("click", (event) => {
      if (!player.task) return;
      const address = Moment.address(tab, player.moment);
      follow(tab, player.moment);
      copy(address).then(() => say(event.target, "Copied"), () => say(event.target, "In the address bar"));
    });
    // What a run shows when its tab is first opened, and after that what was left there.
    const first = () => {
      if (!player.opened) return open(split, opened, parts[split][opened].stages.length - 1);
      player.draw();
      player.wake();
    };
    return { tab, parts, open, first, link };
  });

  // The address says what is seen; browsers allow only so many changes a second.
  let waiting = null;
  const follow = (tab, moment) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      try { history.replaceState(null, "", Moment.address(tab, moment)); } catch {} // forbidden in some frames
    }, 120);
  };

  const tabs = [...document.querySelectorAll("[data-tab]")];
  const choose = (index) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
    });
    document.querySelectorAll(".run").forEach((run, i) => (run.hidden = i !== index));
  };
  tabs.forEach((tab, index) => {
    const enter = async (to) => {
      choose(to);
      await runs[to].first();
      runs[to].link?.();
    };
    tab.addEventListener("click", () => enter(index));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + tabs.length) % tabs.length;
      enter(next);
      tabs[next].focus();
    });
  });

  // Opens what a link names, if this page has it.
  const visit = () => {
    const found = Moment.find(window.location.hash, runs);
    if (found) choose(found.run);
    if (found) runs[found.run].open(found.part, found.row, found.stage, found.step);
    return Boolean(found);
  };
  window.addEventListener("hashchange", visit);
  if (!visit()) runs[0]?.first();
})();
