"use strict";
// Reward, success and actions under the replay, in step with it: a line marks the moment, a click or a drag moves it.

const WIDE = 1000; // units across a plot, stretched to its width

// Reward per step since the moment before, from moment 1 on.
function rewards({ moments, returns }) {
  return returns.slice(1).map((value, k) => (value - returns[k]) / (moments[k + 1] - moments[k]));
}

class Plots {
  constructor(root, seek) {
    Object.assign(this, { root, rows: [], longest: 1 });
    root.addEventListener("pointerdown", (event) => {
      const plot = event.target.closest("svg");
      if (!plot) return;
      plot.setPointerCapture(event.pointerId);
      this.held = plot;
      this.seek(event, seek);
    });
    root.addEventListener("pointermove", (event) => event.buttons && this.held && this.seek(event, seek));
    for (const kind of ["pointerup", "pointercancel"]) root.addEventListener(kind, () => (this.held = null));
  }

  seek(event, seek) {
    const box = this.held.getBoundingClientRect();
    seek(Math.round(clamp((event.clientX - box.left) / box.width, 0, 1) * this.longest));
  }

  // `shown`: [{episode, name: its colour, actions: see below}], the ghost first.
  show(shown, longest) {
    const lines = (what, values, whole) => this.lines(what, shown.map((side) => ({ ...side, values: values(side) })), whole);
    this.longest = longest;
    this.rows = [];
    const found = [lines("reward", ({ episode }) => rewards(episode))];
    if (shown.some(({ episode }) => episode.met)) found.push(this.met(shown));
    const kept = Math.max(...shown.map(({ actions }) => actions.length)), about = shown[0].episode.actions;
    for (let n = 0; n < kept; n++)
      found.push(lines(about.of > 1 ? `action ${n + 1}` : "action", ({ actions }) => actions[n] || [], about.whole));
    found.push(this.axis());
    const apart = Math.round(longest / (Math.max(...shown.map(({ episode }) => episode.moments.length)) - 1));
    const note = apart > 1 ? [`Reward is the mean of ${apart} steps, actions are those of every ${apart}th step or so.`] : [];
    if (about && about.of > kept) note.push(`The first ${kept} of the ${about.of} numbers of an action.`);
    found.push(Object.assign(document.createElement("p"), { className: "quiet", textContent: note.join(" ") }));
    this.root.replaceChildren(...found.filter((part) => part.childNodes.length));
  }

  // [number][moment], from moment 1 on; none in pages of earlier versions.
  static async actions({ actions, moments }) {
    if (!actions) return [];
    const bytes = new Uint8Array(await unpack(actions.values)), times = moments.length - 1;
    return actions.low.map((low, n) =>
      Array.from(bytes.subarray(n * times, (n + 1) * times), (byte) => {
        const value = low + (byte / 255) * (actions.high[n] - low);
        return actions.whole ? Math.round(value) : value;
      }),
    );
  }

  x(step) {
    return ((step / this.longest) * WIDE).toFixed(1);
  }

  // A row: its name and ends in words, its picture, and what it is now.
  row(what, said, height, drawn, values, sides) {
    const row = document.createElement("div");
    row.className = "plot";
    row.innerHTML =
      `<span class="named">${what}<small>${said}</small></span>` +
      `<svg viewBox="0 0 ${WIDE} ${height}" height="${height}" preserveAspectRatio="none" role="img" aria-label="${what} per step${said ? `, ${said}` : ""}">` +
      `${drawn}<line class="cursor" y1="0" y2="${height}"/></svg><span class="now">${sides.map(({ name }) => `<b class="${name}"></b>`).join("")}</span>`;
    this.rows.push({ cursor: row.querySelector(".cursor"), now: row.querySelectorAll("b"), values, sides });
    return row;
  }

  lines(what, sides, whole) {
    const every = sides.flatMap(({ values }) => values), height = what === "reward" ? 52 : 24, pad = 3;
    const [low, high] = every.length ? [Math.min(...every, what === "reward" ? 0 : Infinity), Math.max(...every, what === "reward" ? 0 : -Infinity)] : [0, 0];
    const y = (value) => (high > low ? height - pad - ((value - low) / (high - low)) * (height - 2 * pad) : height / 2).toFixed(1);
    const drawn = sides.map(({ values, episode: { moments }, name }, i) => {
      const at = (k) => this.x(moments[k + 1]);
      // Choices are dashes as long as their step, of the side behind thicker.
      const path = whole
        ? values.map((value, k) => `M${this.x(moments[k])} ${y(value)}H${at(k)}`).join("")
        : values.map((value, k) => `${k ? "L" : "M"}${at(k)} ${y(value)}`).join("");
      return `<path class="${name}${whole ? " choice" : ""}${whole && i < sides.length - 1 ? " behind" : ""}" d="${path}"/>`;
    });
    const digits = whole ? 0 : clamp(1 - Math.floor(Math.log10(0.999 * (high - low) || 1)), 0, 4);
    const zero = low < 0 && high > 0 ? `<line class="zero" x2="${WIDE}" y1="${y(0)}" y2="${y(0)}"/>` : "";
    const say = (side, k) => (side.values.length ? fixed(side.values[k], digits) : "");
    return this.row(what, every.length ? `${fixed(low, digits)} to ${fixed(high, digits)}` : "", height, zero + drawn.join(""), say, sides);
  }

  met(sides) {
    const height = 9 * sides.length;
    const drawn = sides.map(({ name, episode: { moments, met } }, i) => {
      const y = 9 * i + 2, bar = (from, to, kind) => `<rect class="${kind}" x="${this.x(from)}" y="${y}" width="${this.x(to - from)}" height="5"/>`;
      return bar(0, moments.at(-1), "never") + (met || []).map(([first, last]) => bar(moments[first - 1], moments[last], name)).join("");
    });
    const say = ({ episode: { met = [] } }, k) => (met.some(([first, last]) => first <= k + 1 && k + 1 <= last) ? "✓" : "–");
    return this.row("success", "", height, drawn.join(""), say, sides);
  }

  axis() {
    const axis = document.createElement("div");
    axis.className = "plot axis";
    const numbers = ticks(0, this.longest, 6).map((step) => `<i style="left:${this.x(step) / 10}%">${short(step)}</i>`);
    axis.innerHTML = `<span class="named">step</span><span class="numbers">${numbers.join("")}</span><span></span>`;
    return axis;
  }

  at(step) {
    const x = this.x(step);
    for (const { cursor, now, values, sides } of this.rows) {
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
      sides.forEach((side, i) => {
        const k = side.episode.moments.findLastIndex((moment) => moment <= step) - 1; // the last one that is over
        now[i].textContent = values(side, Math.max(k, 0));
      });
    }
  }
}
