"use strict";
// Reads values from the charts that the page holds as SVG: where a reader points or touches, and by arrow keys.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  const text = (value, share) => {
    if (share) return `${Number((100 * value).toPrecision(3))} %`;
    const size = Math.abs(value);
    if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
    if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
    return String(Number(value.toPrecision(4)));
  };
  const nearest = (xs, x) => xs.reduce((best, at, i) => (Math.abs(at - x) < Math.abs(xs[best] - x) ? i : best), 0);

  class Reading {
    constructor(plot) {
      const { x, y, name, names, share, lines } = JSON.parse(plot.dataset.read);
      Object.assign(this, { plot, name, names, share, lines });
      this.svg = plot.querySelector("svg");
      this.box = this.svg.viewBox.baseVal;
      this.across = (value) => x[2] + ((value - x[0]) / (x[1] - x[0])) * (x[3] - x[2]);
      const as = y[4] ? Math.log10 : (value) => value;
      this.up = (value) => y[2] + ((as(value) - as(y[0])) / (as(y[1]) - as(y[0]))) * (y[3] - y[2]);
      const drawn = [...this.svg.querySelectorAll("[data-of]")].filter((group) => group.dataset.of);
      lines.forEach((line, i) => (line.drawn = drawn[i]));
      const main = lines.filter((line) => !/mean|thin/.test(line.style));
      this.stops = [...new Set((main.length ? main : lines).flatMap((line) => line.xs))].sort((a, b) => a - b);
      this.hair = document.createElementNS(SVG, "line");
      this.hair.setAttribute("class", "cross-hair");
      this.hair.setAttribute("y1", y[3]);
      this.hair.setAttribute("y2", y[2]);
      this.svg.append(this.hair);
      this.out = document.createElement("div");
      this.out.className = "readout";
      this.out.setAttribute("aria-live", "polite");
      plot.append(this.out);
      this.width = x[1] - x[0];
    }

    // `y`: where in the drawing a pointer is; thin lines are told of only there.
    show(index, y) {
      this.index = Math.max(0, Math.min(index, this.stops.length - 1));
      const x = this.stops[this.index], place = this.across(x);
      const seen = this.lines.filter((line) => !line.drawn.hasAttribute("hidden")).map((line) => ({ line, i: nearest(line.xs, x) }));
      const here = ({ line, i }) => /mean/.test(line.style) || Math.abs(line.xs[i] - x) <= 0.02 * this.width;
      const rows = seen.filter((at) => !/thin/.test(at.line.style) && here(at));
      if (y !== undefined) {
        const far = ({ line, i }) => Math.abs(this.up(line.ys[i]) - y);
        const close = seen.filter((at) => /thin/.test(at.line.style) && far(at) < 12).sort((a, b) => far(a) - far(b))[0];
        if (close) rows.push(close);
      }
      const head = document.createElement("b");
      head.textContent = this.names.length ? this.names[x] : `${this.name} ${text(x)}`;
      this.out.replaceChildren(head, ...rows.map((row) => this.row(row)));
      this.hair.setAttribute("x1", place);
      this.hair.setAttribute("x2", place);
      this.out.hidden = false;
      this.hair.removeAttribute("hidden");
      const at = (place / this.box.width) * this.plot.clientWidth, right = at < this.plot.clientWidth / 2;
      this.out.style.left = right ? `${at + 12}px` : "auto";
      this.out.style.right = right ? "auto" : `${this.plot.clientWidth - at + 12}px`;
    }

    row({ line, i }) {
      const p = document.createElement("p"), key = document.createElement("span"), say = (value) => text(value, this.share);
      key.className = `key ${line.style}`;
      if (line.colour) key.style.setProperty("--key", line.colour);
      let told = `${line.label}: ${say((line.raw || line.ys)[i])}`;
      if (line.raw) told += `, average ${say(line.ys[i])}`;
      if (line.low) told += ` (${say(line.low[i])} to ${say(line.high[i])})`;
      if (line.n) told += `, n: ${line.n}`;
      p.append(key, told);
      return p;
    }

    hide() {
      this.out.hidden = true;
      this.hair.setAttribute("hidden", "");
    }
  }

  const readings = new WeakMap();
  const reading = (plot) => {
    if (!readings.has(plot)) readings.set(plot, new Reading(plot));
    return readings.get(plot);
  };
  const point = (event) => {
    const found = reading(event.currentTarget), area = found.svg.getBoundingClientRect();
    const scale = found.box.width / area.width, x = (event.clientX - area.left) * scale;
    found.show(nearest(found.stops.map(found.across), x), (event.clientY - area.top) * scale);
  };
  const step = (event) => {
    const found = reading(event.currentTarget), last = found.stops.length - 1, by = Math.ceil((last + 1) / 60);
    const now = found.index ?? -1;
    const to = { ArrowLeft: now - by, ArrowRight: now < 0 ? 0 : now + by, Home: 0, End: last }[event.key];
    if (event.key === "Escape") found.hide();
    if (to === undefined) return;
    event.preventDefault();
    found.show(to);
  };
  document.querySelectorAll(".chart-box").forEach((plot) => {
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("keydown", step);
    plot.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && reading(plot).hide());
    plot.addEventListener("blur", () => reading(plot).hide());
  });

  // Logarithmic or linear: the page holds both drawings.
  document.querySelectorAll("[data-log]").forEach((button) =>
    button.addEventListener("click", () => {
      const log = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(log));
      button.closest("figure").querySelectorAll("[data-scale]").forEach((place) => (place.hidden = (place.dataset.scale === "log") !== log));
    }),
  );

  // Groups of runs are shown and hidden in all charts at once.
  document.querySelectorAll(".groups button").forEach((button) =>
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true", name = button.dataset.group;
      button.setAttribute("aria-pressed", String(shown));
      button.closest(".comparison").querySelectorAll("[data-of]").forEach((line) => {
        if (line.dataset.of === name || line.dataset.of === `${name}, before adaptation`) line.toggleAttribute("hidden", !shown);
      });
    }),
  );
})();
