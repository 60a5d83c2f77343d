"use strict";
// Episodes in the plane: a path to a goal, the shapes of a scene (envs/scene.py: Shape), or the return so far.

const FINE = 10000; // parts of a square's side that shapes come in
const UNSEEN = -32768;

class Pen {
  constructor(context, width, height, colour) {
    Object.assign(this, { context, width, height, colour });
    context.lineJoin = context.lineCap = "round";
  }

  line(points, colour, thick) {
    if (points.length < 2) return;
    this.context.strokeStyle = this.colour(colour);
    this.context.lineWidth = thick;
    this.context.beginPath();
    points.forEach(([x, y]) => this.context.lineTo(x, y));
    this.context.stroke();
  }

  dot([x, y], radius, colour, edge, thick) {
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.fill(colour, edge, thick);
  }

  bar([[left, bottom], [right, top]], colour, edge, thick) {
    this.context.beginPath();
    this.context.rect(left, top, right - left, bottom - top);
    this.fill(colour, edge, thick);
  }

  fill(colour, edge, thick) {
    if (colour) this.context.fillStyle = this.colour(colour);
    if (colour) this.context.fill();
    if (edge) [this.context.strokeStyle, this.context.lineWidth] = [this.colour(edge), thick];
    if (edge) this.context.stroke();
  }

  // In as many lines as it takes to be no wider than `most`.
  text([x, y], words, size, colour = "quiet", align = "center", most = Infinity) {
    Object.assign(this.context, { fillStyle: this.colour(colour), textAlign: align, textBaseline: "middle" });
    this.context.font = `${size}px Inter, ui-sans-serif, system-ui, "DejaVu Sans", sans-serif`;
    const lines = [];
    for (const word of words.split(" ")) {
      const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && this.context.measureText(longer).width > most) lines.push(word);
      else lines.splice(-1, 1, longer);
    }
    lines.forEach((line, i) => this.context.fillText(line, x, y + 1.25 * size * i + (lines.length > 1 ? 0.4 * size : 0)));
  }
}

// `sides`: [{episode, ghost, name: its colour, i, share: the moment before now and the way to the next one}]
const Plane = {
  // Where a place is in the picture.
  placed(pen, { extent }) {
    const half = Math.min(pen.width, pen.height) / 2;
    return ([x, y]) => [pen.width / 2 + (x / extent) * half, pen.height / 2 - (y / extent) * half];
  },

  // `below`: draws what lies between the ground and the sides.
  path(pen, marks, sides, below) {
    const { goal, extent } = marks, place = Plane.placed(pen, marks);
    for (let t = -4; t <= 4; t++) {
      pen.line([[t / 4, -9], [t / 4, 9]].map(([x, y]) => place([x * extent, y])), "line", 1);
      pen.line([[-9, t / 4], [9, t / 4]].map(([x, y]) => place([x, y * extent])), "line", 1);
    }
    pen.dot(place(goal), 9.5, "", "good", 3);
    pen.dot(place(goal), 3, "good");
    pen.dot(place([0, 0]), 3, "quiet");
    below(place);
    for (const side of sides) Plane.along(pen, side, side.episode.path.map(place));
  },

  // The line through `all` points as far as it has come.
  along(pen, { i, share, name, ghost }, all) {
    const end = all[Math.min(i + 1, all.length - 1)], here = all[i].map((x, n) => x + share * (end[n] - x));
    pen.line([...all.slice(0, i + 1), here], name, ghost ? 2 : 3);
    pen.dot(here, ghost ? 5 : 7, name);
  },

  gained(pen, sides) {
    const values = sides.flatMap((s) => s.episode.returns), low = Math.min(0, ...values), high = Math.max(0, ...values);
    const longest = Math.max(...sides.map((s) => s.episode.moments.at(-1)), 1);
    const [left, right, top, bottom] = [58, pen.width - 18, 44, pen.height - 46];
    const place = ([x, y]) => [left + (x / longest) * (right - left), bottom - ((y - low) / (high - low || 1)) * (bottom - top)];
    for (const value of ticks(low, high, 6)) {
      pen.line([[0, value], [longest, value]].map(place), "line", 1);
      pen.text([left - 8, place([0, value])[1]], short(value), 12, "quiet", "right");
    }
    for (const step of ticks(0, longest, 6)) pen.text([place([step, 0])[0], bottom + 14], short(step), 12);
    pen.text([(left + right) / 2, bottom + 34], "step", 12);
    pen.text([left, top - 16], "return so far", 12, "quiet", "left");
    for (const side of sides) Plane.along(pen, side, side.episode.moments.map((m, k) => place([m, side.episode.returns[k]])));
  },

  // One side beside the other, as in the video, in so many columns.
  shapes(pen, shapes, smooth, sides, columns) {
    const width = pen.width / columns, size = Math.min(width, pen.height - 24);
    sides.forEach((side, column) => {
      const place = ([x, y]) => [(column + 0.5) * width + (x - 0.5) * size, (pen.height + 24) / 2 - (y - 0.5) * size];
      if (column) pen.line([[width, 24], [width, pen.height - 12]], "line", 1);
      Plane.scene(pen, shapes, { ...side, share: smooth ? side.share : 0, i: side.i + (!smooth && side.share >= 1) }, place, size);
    });
  },

  scene(pen, shapes, { episode, places, i, share, name }, place, size) {
    const times = episode.moments.length, next = Math.min(i + 1, times - 1);
    const named = (colour) => ({ here: name, path: name, goal: "good", grid: "line" })[colour] || colour;
    let row = 0;
    const number = (row, k) => places[row * times + k];
    const points = (count, k) =>
      Array.from({ length: count }, (_, p) =>
        [0, 1].map((n) => {
          const [a, b] = [number(row + 2 * p + n, k), number(row + 2 * p + n, next)];
          return a === UNSEEN ? NaN : (k === i ? a + share * (b - a) : a) / FINE;
        }),
      );
    for (const shape of shapes) {
      const at = (shape.at || points(shape.points, i)).map(place), thick = Math.max(1, shape.size * size);
      if (shape.kind === "path") pen.line(Array.from({ length: i + 1 }, (_, k) => place(points(1, k)[0])), named(shape.colour), thick);
      else if (at.flat().some(Number.isNaN)) void 0;
      else if (shape.kind === "line") pen.line(at, named(shape.colour), thick);
      else if (shape.kind === "dot") pen.dot(at[0], thick, named(shape.colour), named(shape.edge), Math.max(1, 0.3 * thick));
      else if (shape.kind === "bar") pen.bar(at, named(shape.colour), named(shape.edge), 1.5);
      else {
        const words = shape.words.replace("{time}", episode.moments[i]), letters = Math.max(10, shape.size * size);
        pen.text(at[0], words, letters, named(shape.colour), "center", 0.96 * size);
      }
      if (!shape.at) row += 2 * shape.points;
    }
  },
};
