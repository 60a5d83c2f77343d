"use strict";
// The practice between two stages: the episodes that the agent adapted on, sped up, one after another, each leaving a
// faint path. They come as meta_rl/visualise/page/replay.py packs them (`pack_practice`).

const PRACTICE = { seconds: 5, most: 0.6, learned: 1.6 }; // all episodes, one of them at most, and what they led to

class Practice {
  static async of(packed) {
    const places = packed.paths ? accumulate(await unpack(packed.paths), packed.moments.length) : null;
    return Object.assign(new Practice(), packed, { places, each: Math.min(PRACTICE.most, PRACTICE.seconds / packed.episodes.length) });
  }

  // Seconds after which all episodes are over, and it is said what they led to.
  get over() {
    return this.each * this.episodes.length;
  }

  get seconds() {
    return this.over + PRACTICE.learned;
  }

  // What is seen `time` seconds after the beginning: the row of an episode, and how much of it has passed.
  seen(time) {
    if (time >= this.over) return { row: this.episodes.length - 1, share: 1, learned: true };
    const row = Math.floor(time / this.each);
    return { row, share: time / this.each - row, learned: false };
  }

  words(seen) {
    return !seen || seen.learned ? this.learned : this.captions[seen.row];
  }

  // The moment before a share of an episode, and the way to the next one.
  at(share) {
    const k = share * (this.moments.length - 1), i = Math.min(Math.floor(k), Math.max(this.moments.length - 2, 0));
    return [i, k - i];
  }

  // The return of an episode so far.
  gained({ row, share }) {
    return between(this.returns[row], ...this.at(share));
  }

  place(row, i, share = 0) {
    const { numbers, scale, places, moments } = this;
    return Array.from({ length: numbers }, (_, n) => scale * between(places.subarray((row * numbers + n) * moments.length), i, share));
  }

  // Where the episode that is seen is now.
  here({ row, share }) {
    return this.place(row, ...this.at(share));
  }

  // The middle of all paths, as seen from above, and how far they go from there.
  around() {
    const places = this.episodes.flatMap((_, row) => this.moments.map((_, k) => this.place(row, k)));
    const middle = [0, 1].map((n) => (Math.min(...places.map((p) => p[n])) + Math.max(...places.map((p) => p[n]))) / 2);
    return { middle, radius: Math.max(...places.map(([x, y]) => Math.hypot(x - middle[0], y - middle[1]))) };
  }

  // Paths of the episodes: those that are over are faint. `put`: where a place is on the picture; nothing behind it.
  draw(pen, put, seen) {
    const line = (points, strength, thick) => {
      pen.context.globalAlpha = strength;
      pen.line(points.map(put).filter(Boolean), "practice", thick);
    };
    const whole = (row) => this.moments.map((_, k) => this.place(row, k));
    const all = this.episodes.map((_, row) => row), before = seen && !seen.learned ? all.slice(0, seen.row) : all;
    for (const row of before) line(whole(row), !seen ? 0.3 : seen.learned ? 0.5 : 0.4, 1.5);
    if (seen && !seen.learned) {
      const here = this.here(seen), point = put(here);
      line([...whole(seen.row).slice(0, this.at(seen.share)[0] + 1), here], 1, 2.5);
      if (point) pen.dot(point, 5.5, "practice", "card", 1.5);
    }
    pen.context.globalAlpha = 1;
  }

  // The same where nothing moves about: what each episode has gained so far, as bars from `left` on.
  chart(pen, seen, left, width) {
    const [low, high] = this.ends(), from = left + 54, to = left + width - 14, [top, bottom] = [62, pen.height - 40];
    const y = (value) => bottom - ((value - low) / (high - low || 1)) * (bottom - top), step = Math.min((to - from) / this.episodes.length, 48);
    pen.text([from, top - 20], "return in practice", 12, "quiet", "left");
    for (const value of ticks(low, high, 5)) {
      pen.line([[from, y(value)], [to, y(value)]], "line", 1);
      pen.text([from - 8, y(value)], short(value), 12, "quiet", "right");
    }
    this.episodes.slice(0, seen.row + 1).forEach((number, row) => {
      const x = from + row * step, now = row === seen.row && !seen.learned;
      const value = now ? this.gained(seen) : this.returns[row].at(-1), ends = [y(0), y(value)].sort((a, b) => b - a);
      pen.context.globalAlpha = now || seen.learned ? 1 : 0.5;
      pen.bar([[x + 0.15 * step, ends[0]], [x + 0.85 * step, ends[1]]], "practice");
      pen.context.globalAlpha = 1;
      pen.text([x + step / 2, bottom + 14], String(number), 12);
    });
  }

  // Of an axis for the returns.
  ends() {
    const all = this.returns.flat();
    return [Math.min(0, ...all), Math.max(0, ...all)];
  }

  // What each episode gained, for the line below the picture.
  bars() {
    const [low, high] = this.ends(), tall = 20, y = (value) => tall - ((value - low) / (high - low || 1)) * tall;
    const last = this.returns.map((row) => row.at(-1)), [least, most] = [Math.min(...last), Math.max(...last)].map(short);
    const drawn = last.map((value, row) => {
      const top = Math.min(y(value), y(0), tall - 1), height = Math.max(Math.abs(y(value) - y(0)), 1);
      return `<rect x="${7 * row}" y="${top.toFixed(1)}" width="5" height="${height.toFixed(1)}"/>`;
    });
    const count = last.length === 1 ? "an episode" : `${last.length} episodes`;
    const said = `return of ${count} of practice: ${least === most ? least : `${least} to ${most}`}`;
    const wide = 7 * last.length - 2;
    return `<svg width="${wide}" height="${tall}" viewBox="0 0 ${wide} ${tall}" role="img" aria-label="${said}"><title>${said}</title>${drawn.join("")}</svg>`;
  }
}
