"use strict";
// The map of tasks and stages: bands of tasks as wide as the page, their order, one stop of the Tab key with arrow keys
// from there, and what a cell says where a reader points, touches or stands.
(() => {
  const PITCH = 30; // of a tile and the gap beside it, in pixels

  document.querySelectorAll(".map").forEach((map) => {
    const families = [...map.querySelectorAll(".family")].map((place) => ({
      bands: place.querySelector(".bands"),
      names: place.querySelector(".names"),
      tiles: [...place.querySelectorAll(".tile")], // by gain, as the page has them
    }));
    let order = "gain", width = 0;

    const lay = () => {
      const held = map.contains(document.activeElement) ? document.activeElement : null;
      for (const { bands, names, tiles } of families) {
        const room = bands.clientWidth - names.offsetWidth - 8;
        if (room <= 0) return; // its tab is not open
        const shown = [...tiles];
        if (order === "number") shown.sort((a, b) => a.dataset.number - b.dataset.number);
        const count = Math.max(1, Math.floor((room + 4) / PITCH)), made = [];
        for (let first = 0; first < shown.length; first += count) {
          const band = document.createElement("div"), row = document.createElement("div");
          band.className = "band-of";
          row.className = "tiles";
          row.append(...shown.slice(first, first + count));
          band.append(first ? names.cloneNode(true) : names, row);
          made.push(band);
        }
        bands.replaceChildren(...made);
      }
      if (held && held !== document.activeElement) held.focus({ preventScroll: true }); // what moves loses it
    };
    new ResizeObserver(() => {
      if (map.clientWidth === width) return;
      width = map.clientWidth;
      lay();
    }).observe(map);
    const buttons = [...map.querySelectorAll("[data-order]")];
    buttons.forEach((button) =>
      button.addEventListener("click", () => {
        order = button.dataset.order;
        buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        lay();
      }),
    );

    // One cell can be reached with the Tab key: the one that was last chosen or stood on.
    const stop = (cell) => {
      map.querySelectorAll('.cell[tabindex="0"]').forEach((other) => (other.tabIndex = -1));
      cell.tabIndex = 0;
    };
    new MutationObserver((changes) => {
      for (const { target } of changes) if (target.getAttribute("aria-pressed") === "true") stop(target);
    }).observe(map, { attributeFilter: ["aria-pressed"], subtree: true });
    const cells = (tile) => [...tile.querySelectorAll(".cell")];
    const next = (cell, key) => {
      const tile = cell.parentElement, row = tile.parentElement;
      const all = [...map.querySelectorAll(".tile")], rows = [...map.querySelectorAll(".tiles")];
      const stage = cells(tile).indexOf(cell), column = [...row.children].indexOf(tile);
      const beside = { ArrowLeft: all[all.indexOf(tile) - 1], ArrowRight: all[all.indexOf(tile) + 1],
                       Home: row.firstElementChild, End: row.lastElementChild }[key];
      if (beside) return cells(beside)[stage];
      const to = { ArrowUp: -1, ArrowDown: 1 }[key];
      if (!to) return null;
      const within = cells(tile)[stage + to];
      if (within) return within;
      const other = rows[rows.indexOf(row) + to];
      return other && cells(other.children[Math.min(column, other.children.length - 1)]).at(to > 0 ? 0 : -1);
    };
    map.addEventListener("keydown", (event) => {
      const cell = event.target.closest(".cell");
      if (event.key === "Escape") tip.hidden = true;
      if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
      const to = next(cell, event.key);
      if (!to) return;
      event.preventDefault();
      stop(to);
      to.focus();
    });

    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true"); // the name of the cell says the same
    map.append(tip);
    const tell = (cell) => {
      tip.hidden = false;
      tip.textContent = cell.getAttribute("aria-label");
      const box = cell.getBoundingClientRect(), around = map.getBoundingClientRect();
      const middle = box.left + box.width / 2 - around.left - tip.offsetWidth / 2;
      tip.style.left = `${Math.max(8, Math.min(middle, around.width - tip.offsetWidth - 8))}px`;
      tip.style.top = `${box.top - around.top - tip.offsetHeight - 6}px`;
    };
    for (const kind of ["pointerover", "focusin"])
      map.addEventListener(kind, (event) => {
        const cell = event.target.closest(".cell");
        if (cell) tell(cell);
      });
    map.addEventListener("focusin", (event) => {
      if (event.target.matches(".cell")) stop(event.target);
    });
    for (const kind of ["pointerout", "focusout"])
      map.addEventListener(kind, (event) => {
        if (event.pointerType !== "touch") tip.hidden = true; // a finger covers what it points at: it stays
      });
  });
})();
