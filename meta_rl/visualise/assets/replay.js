"use strict";
// Plays recorded episodes: before adaptation as a ghost, then the practice, then the chosen stage solid. Poses and meshes
// come as meta_rl/visualise/page/replay.py packs them; robots are drawn by solid.js (which says why by no kept library),
// all else by plane.js, the practice by practice.js, and plots.js has the numbers below.

const SECONDS = 6; // an episode at normal speed
const KEYS = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }; // degrees

// Of `share` of the way from one value to the next.
const between = (values, i, share) => (share >= 1 ? values[i + 1] : share ? values[i] + share * (values[i + 1] - values[i]) : values[i]);

class Player {
  constructor(root, data, names) {
    const find = (what) => root.querySelector(`[data-${what}]`);
    Object.assign(this, { root, data, names, find, step: 0, longest: 1, playing: false, task: null, cameras: new Map(), fingers: new Map(), practised: new Set() });
    Object.assign(this, { practice: null, lead: null }); // of the chosen stage, and how far it has come (s) while it is seen
    this.canvas = root.querySelector("canvas");
    this.plots = new Plots(find("plots"), (step) => this.seek(step));
    find("play").addEventListener("click", () => this.play(!this.playing, true));
    find("practise").addEventListener("click", () => this.practise());
    find("paths").addEventListener("change", () => this.draw());
    find("time").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    root.addEventListener("keydown", (event) => this.key(event));
    root.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => this.look((camera) => camera.zoom(Number(button.dataset.zoom)))));
    find("reset").addEventListener("click", () => this.look((camera) => camera.reset()));
    this.canvas.addEventListener("dblclick", () => this.look((camera) => camera.reset()));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("contextmenu", (event) => this.camera && event.preventDefault()); // the right button moves
    this.canvas.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.finger(event));
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"]) this.canvas.addEventListener(kind, (event) => this.fingers.delete(event.pointerId));
    for (const [target, kind] of [[document, "theme"], [window, "resize"]]) target.addEventListener(kind, () => this.draw());
    document.addEventListener("restored", async () => {
      if (this.camera) await Solid.of(this.data).load(this.task.family);
      this.draw();
    });
  }

  // Where it stands, for a link.
  get moment() {
    return { part: this.part, task: this.task.position, stage: this.stage, step: Math.round(this.step) };
  }

  // Opens the episode of `stage` in row `row` of `tasks`, and plays it, the first time after its practice, or stops at
  // `step`.
  async show(tasks, part, row, stage, step = null) {
    const task = tasks[row], opened = (this.opened = (this.opened || 0) + 1);
    const sides = (stage ? [0, stage] : [0]).map((number) => ({
      number, episode: task.stages[number], ghost: number !== stage, name: stage && number === stage ? "after" : "before",
    }));
    const longest = Math.max(...sides.map((side) => side.episode.moments.at(-1)), 1);
    const camera = task.stages[stage].poses ? await this.prepare(task, sides) : null;
    for (const side of sides) {
      if (side.episode.places) side.places = accumulate(await unpack(side.episode.places), side.episode.moments.length);
      side.actions = await Plots.actions(side.episode);
    }
    const packed = stage && task.practice?.[stage - 1], practice = packed ? await Practice.of(packed) : null;
    if (opened !== this.opened) return; // another one was chosen meanwhile
    Object.assign(this, { task, sides, stage, part, longest, camera, practice, lead: null, step: clamp(step || 0, 0, longest) });
    this.plots.show(sides, longest);
    this.describe(row);
    const plays = step === null && !this.still;
    if (plays && practice && !this.practised.has(packed)) this.lead = 0;
    if (plays) this.practised.add(packed);
    this.play(plays);
    this.draw();
  }

  // Whether a reader wants nothing to move by itself.
  get still() {
    return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  // Plays the practice and then the episode, or skips what is left of it; at once what it led to if nothing is to move.
  practise() {
    if (!this.practice) return;
    const begins = this.lead === null;
    this.lead = begins ? (this.still ? this.practice.over : 0) : null;
    this.step = 0;
    this.play(begins ? !this.still : this.playing);
    this.draw();
    this.moved();
  }

  // Poses of the sides in three dimensions, and the camera, which stays as a reader leaves it while the task is the same.
  async prepare(task, sides) {
    const solid = Solid.of(this.data), { bodies } = this.data.families[task.family];
    this.find("sorry").hidden = !solid.missing;
    if (solid.missing) return null;
    await solid.load(task.family);
    const stages = await Promise.all(task.stages.map((episode) => Poses.of(episode, bodies)));
    for (const side of sides) side.poses = stages[side.number];
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.cameras.has(task)) this.cameras.set(task, solid.camera(task, stages, clientWidth / clientHeight || 4 / 3));
    return this.cameras.get(task);
  }

  // Words around the picture.
  describe(row) {
    const { task, stage, part, names, camera } = this;
    const what = `${task.family}, ${part} task ${task.position}, ${names[stage]}`;
    this.root.dataset.shown = `${part} ${row} ${stage}`;
    this.find("what").textContent = what;
    this.find("goal").textContent = task.goal;
    this.canvas.classList.toggle("solid", Boolean(camera));
    this.canvas.setAttribute("aria-label", `replay: ${what}, ${task.goal}${camera ? "; arrow keys turn it, + and − zoom" : ""}; space plays${this.practice ? ", p the practice" : ""}`);
    this.find("practice").hidden = !this.practice;
    if (this.practice) this.find("bars").innerHTML = this.practice.bars();
    this.find("paths-of").hidden = !this.practice?.places;
    this.root.querySelector(".zoom").hidden = !camera;
    this.root.querySelector(".side.before").style.visibility = stage ? "visible" : "hidden";
    this.find("name-before").textContent = names[0];
    this.find("name-after").textContent = names[stage];
    this.find("time").max = this.longest;
  }

  // `told`: by a reader, whose link then follows.
  play(on, told = false) {
    const was = this.playing, button = this.find("play");
    this.playing = on;
    button.textContent = on ? "❚❚" : "▶";
    button.title = on ? "Pause" : "Play";
    button.setAttribute("aria-label", button.title);
    if (told && on && this.step >= this.longest) this.step = 0;
    if (told && !on) this.moved();
    if (on && !was) this.wake();
  }

  // Goes on playing; a replay that is not to be seen sleeps.
  wake() {
    if (!this.playing || this.awake) return;
    let last = null, held = 0;
    this.awake = true;
    const tick = (now) => {
      const seen = this.root.offsetParent !== null;
      this.awake = this.playing && seen;
      if (!this.awake) return;
      const passed = last === null ? 0 : (now - last) / 1000;
      const speed = Number(this.find("speed").value);
      if (this.lead !== null) this.lead = this.lead + passed * speed < this.practice.seconds ? this.lead + passed * speed : null;
      else if (this.step >= this.longest) held += passed;
      else this.step = Math.min(this.longest, this.step + (passed / SECONDS) * speed * this.longest);
      if (held > 1.5) [held, this.step] = [0, 0];
      last = now;
      this.draw();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  seek(step) {
    this.play(false);
    this.lead = null;
    this.step = clamp(step, 0, this.longest);
    this.draw();
    this.moved();
  }

  moved() {
    if (this.task) this.root.dispatchEvent(new Event("moment", { bubbles: true }));
  }

  look(change) {
    if (!this.camera) return;
    change(this.camera);
    this.draw();
  }

  key(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !this.task) return;
    const drawn = target === this.canvas, way = { ",": -1, ".": 1 }[key];
    if (way) this.seek(way > 0 ? Math.floor(this.step) + 1 : Math.ceil(this.step) - 1);
    else if (key === "p" && this.practice) this.practise();
    else if (!drawn) return; // buttons and sliders have keys of their own
    else if (key === " ") this.play(!this.playing, true);
    else if (!this.camera) return;
    else if (KEYS[key]) this.look((camera) => camera.turn(...KEYS[key]));
    else if ("+=-_".includes(key)) this.look((camera) => camera.zoom("+=".includes(key) ? 1.18 : 0.85));
    else if (key === "0") this.look((camera) => camera.reset());
    else return;
    event.preventDefault();
  }

  // Zooms, and lets the page scroll on at either end.
  wheel(event) {
    if (!this.camera) return;
    const before = this.camera.closer, pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    this.look((camera) => camera.zoom(Math.exp(-clamp(pixels, -120, 120) * (event.ctrlKey ? 0.01 : 0.0015))));
    if (event.ctrlKey || this.camera.closer !== before) event.preventDefault();
  }

  finger(event) {
    if (!this.camera) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  // One finger or the left button turns; two fingers move and pinch, the right button or shift moves.
  drag(event) {
    const was = this.fingers.get(event.pointerId), now = [event.clientX, event.clientY];
    if (!was || !this.camera) return;
    const [right, down] = [now[0] - was[0], now[1] - was[1]], height = this.canvas.clientHeight;
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, now);
    this.look((camera) => {
      if (other) {
        const apart = ([x, y]) => Math.max(Math.hypot(x - other[0], y - other[1]), 8);
        camera.zoom(apart(now) / apart(was));
        camera.move(-right / height / 2, down / height / 2); // as far as the middle between the two fingers
      } else if (event.buttons & 2 || event.shiftKey) camera.move(-right / height, down / height);
      else camera.turn(-0.4 * right, -0.3 * down);
    });
  }

  // The longest episode fills the time line; a shorter one stands still when it is over.
  now(side, at = this.step) {
    const { moments } = side.episode, step = Math.min(at, moments.at(-1));
    const i = Math.max(moments.findIndex((m) => m >= step), 1);
    if (moments.length < 2) return { step, i: 0, share: 0 };
    return { step, i: i - 1, share: (step - moments[i - 1]) / (moments[i] - moments[i - 1]) };
  }

  colour(name) {
    return name.startsWith("#") ? name : getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  draw() {
    if (!this.task || this.root.offsetParent === null) return;
    const { stage, longest, names } = this, step = Math.round(this.step), slider = this.find("time");
    slider.value = step;
    const seen = this.lead === null ? null : this.practice.seen(this.lead);
    slider.setAttribute("aria-valuetext", seen ? this.practice.words(seen) : `step ${step} of ${longest}, ${names[stage]}`);
    this.find("step").textContent = `${step} / ${longest}`;
    // While it practises, the episode before adaptation is over and the one after it has not begun.
    const sides = this.sides.filter(({ number }) => !seen || number !== stage).map((side) => ({ ...side, ...this.now(side, seen ? Infinity : this.step) }));
    if (this.practice) this.say(seen);
    for (const { number, i, share, episode: { moments, returns, success } } of sides) {
      const gained = between(returns, i, moments[i + 1] - moments[i] > 1 ? share : Math.floor(share));
      const solved = success >= 0 && i + (share >= 1) >= success ? ", success" : "";
      this.find(number === stage ? "return-after" : "return-before").textContent = `return ${fixed(gained)}${solved}`;
    }
    if (seen) this.find("return-after").textContent = "after the practice";
    this.plots.at(this.step);
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    const size = [clientWidth, clientHeight].map((x) => Math.round(x * ratio)), context = this.canvas.getContext("2d");
    if (!size[0] || !size[1]) return;
    const picture = this.camera && this.drawSolid(sides, size, ratio, seen);
    if (this.camera && !picture) return; // its context is lost: what was drawn last stays until it is back
    [this.canvas.width, this.canvas.height] = size;
    if (picture) context.drawImage(picture, 0, 0);
    context.scale(ratio, ratio);
    const pen = new Pen(context, clientWidth, clientHeight, (name) => this.colour(name));
    if (picture) this.drawPaths(pen, (place) => Matrix.project(this.view, place, pen), seen);
    else this.drawPlane(pen, sides, seen);
  }

  // What is practised now, or what it led to.
  say(seen) {
    const { practice, root, find } = this, put = (what, text) => find(what).textContent !== text && (find(what).textContent = text);
    const solved = seen?.share === 1 && practice.success[seen.row] ? ", success" : "";
    root.dataset.practising = seen ? (seen.learned ? "learned" : practice.episodes[seen.row]) : "";
    put("words", practice.words(seen));
    put("practised", seen && !seen.learned ? `return ${fixed(practice.gained(seen))}${solved}` : "");
    put("practise", seen ? "Skip" : "Practice");
    this.root.querySelectorAll(".bars rect").forEach((bar, row) => bar.classList.toggle("later", Boolean(seen) && !seen.learned && row > seen.row));
  }

  drawPaths(pen, put, seen) {
    if (this.practice?.places && (seen || this.find("paths").checked)) this.practice.draw(pen, put, seen);
  }

  drawSolid(sides, size, ratio, seen) {
    const { task, camera } = this, { marks } = task, solid = Solid.of(this.data), followed = [0, 0, 0];
    const drawn = sides.map(({ poses, i, share, ghost, name }) => {
      const trail = new Float32Array(3 * poses.times), text = this.colour(name);
      for (let k = 0; k < poses.times; k++) trail.set(poses.at(marks.trail, k).slice(0, 3), 3 * k);
      if (marks.follow && !ghost) followed.splice(0, 2, ...poses.at(marks.trail, i, share).slice(0, 2));
      const colour = [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
      return { poses: (body) => poses.at(body, i, share), trail, passed: i + 1, ghost, colour };
    });
    const all = marks.follow && seen && this.practice.places ? this.practice.around() : null; // it does not follow them
    if (all) followed.splice(0, 2, ...all.middle);
    const view = camera.view(followed, all ? all.radius / SLOPE : 0);
    this.view = Matrix.multiply(Matrix.perspective(size[0] / size[1]), view.matrix);
    return solid.draw(task, drawn, view, size, ratio) && solid.canvas;
  }

  drawPlane(pen, sides, seen) {
    const { marks, shapes } = this.task;
    if (sides.every((side) => side.episode.path)) Plane.path(pen, marks, sides, (place) => this.drawPaths(pen, place, seen));
    else if (shapes && sides.every((side) => side.places)) {
      Plane.shapes(pen, shapes, marks.smooth, sides, this.sides.length);
      if (seen) this.practice.chart(pen, seen, pen.width / 2, pen.width / 2);
    } else if (sides.some((side) => side.episode.poses)) return; // a robot that this browser cannot draw
    else if (seen) this.practice.chart(pen, seen, 0, pen.width);
    else Plane.gained(pen, sides);
  }
}
