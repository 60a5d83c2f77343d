"use strict";
// Plays recorded episodes: before adaptation as a ghost, the chosen stage solid. Poses and meshes come as
// meta_rl/visualise/page/replay.py packs them; what has no bodies is drawn as a path in the plane, or as its return so far.

const SECONDS = 6; // an episode at normal speed

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Differences modulo 2^16 [body, number, time] -> numbers of the same shape.
function accumulate(buffer, times) {
  const steps = new Uint16Array(buffer), numbers = new Int16Array(steps.length);
  for (let row = 0; row < steps.length; row += times)
    for (let i = row, sum = 0; i < row + times; i++) numbers[i] = sum = (sum + steps[i]) & 0xffff;
  return numbers;
}

const Matrix = {
  multiply(a, b) {
    const out = new Float32Array(16);
    for (let c = 0; c < 4; c++)
      for (let r = 0; r < 4; r++)
        for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
    return out;
  },
  perspective(aspect) {
    const f = 1 / Math.tan((45 * Math.PI) / 360), near = 0.05, far = 200;
    const depth = 1 / (near - far);
    return new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) * depth, -1, 0, 0, 2 * far * near * depth, 0]);
  },
  // MuJoCo's free camera: it looks along (azimuth, elevation) at a point from a distance; z is up.
  camera(at, distance, azimuth, elevation) {
    const a = (azimuth * Math.PI) / 180, e = (elevation * Math.PI) / 180;
    const f = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
    const s = [Math.sin(a), -Math.cos(a), 0];
    const u = [s[1] * f[2] - s[2] * f[1], s[2] * f[0] - s[0] * f[2], s[0] * f[1] - s[1] * f[0]];
    const eye = at.map((x, i) => x - distance * f[i]);
    const dot = (v) => v[0] * eye[0] + v[1] * eye[1] + v[2] * eye[2];
    return new Float32Array([s[0], u[0], -f[0], 0, s[1], u[1], -f[1], 0, s[2], u[2], -f[2], 0, -dot(s), -dot(u), dot(f), 1]);
  },
  pose(p) {
    const [x, y, z, w, i, j, k] = p;
    return new Float32Array([
      1 - 2 * (j * j + k * k), 2 * (i * j + k * w), 2 * (i * k - j * w), 0,
      2 * (i * j - k * w), 1 - 2 * (i * i + k * k), 2 * (j * k + i * w), 0,
      2 * (i * k + j * w), 2 * (j * k - i * w), 1 - 2 * (i * i + j * j), 0, x, y, z, 1,
    ]);
  },
};

const SHADERS = {
  solid: [
    `in vec3 place; in vec3 normal; uniform mat4 view, body; out vec3 turned;
     void main() { turned = mat3(body) * normal; gl_Position = view * body * vec4(place, 1.0); }`,
    `in vec3 turned; uniform vec4 colour; out vec4 pixel;
     void main() {
       vec3 n = normalize(turned); float sun = max(dot(n, normalize(vec3(0.4, 0.5, 0.9))), 0.0);
       pixel = vec4(colour.rgb * (0.55 + 0.15 * n.z + 0.6 * sun) * colour.a, colour.a); }`,
  ],
  floor: [
    `in vec3 place; uniform mat4 view; uniform vec3 centre; out vec2 at; out vec2 off;
     void main() { vec3 p = place * 30.0 + vec3(centre.xy, 0.0); at = p.xy; off = place.xy; gl_Position = view * vec4(p, 1.0); }`,
    `in vec2 at; in vec2 off; out vec4 pixel;
     void main() {
       vec2 d = abs(fract(at - 0.5) - 0.5) / fwidth(at); float line = 1.0 - min(min(d.x, d.y), 1.0);
       float a = line * 0.35 * max(0.0, 1.0 - 2.2 * length(off)); pixel = vec4(vec3(0.5) * a, a); }`,
  ],
  trail: [
    `in vec3 place; uniform mat4 view; uniform float size;
     void main() { gl_Position = view * vec4(place, 1.0); gl_PointSize = size; }`,
    `uniform vec4 colour; out vec4 pixel;
     void main() {
       float r = length(gl_PointCoord - 0.5); if (r > 0.5) discard;
       pixel = vec4(colour.rgb * colour.a, colour.a); }`,
  ],
};

// Draws with WebGL 2; `ready` is false where there is none.
class Solid {
  constructor(canvas, data) {
    this.canvas = canvas;
    this.data = data;
    this.meshes = [];
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
    this.gl = gl;
    this.ready = Boolean(gl);
    if (!gl) return;
    this.programs = Object.fromEntries(Object.entries(SHADERS).map(([name, pair]) => [name, this.program(pair)]));
    this.ball = this.upload(...Solid.sphere());
    this.square = this.upload(new Float32Array([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0]), new Uint16Array([0, 1, 2, 0, 2, 3]));
    this.points = gl.createBuffer();
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  program([vertex, fragment]) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, "#version 300 es\nprecision highp float;\n" + source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "normal");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    return { program, at: (name) => gl.getUniformLocation(program, name) };
  }

  static sphere() {
    const places = [], faces = [], rings = 12, around = 20;
    for (let i = 0; i <= rings; i++)
      for (let j = 0; j < around; j++) {
        const a = (Math.PI * i) / rings, b = (2 * Math.PI * j) / around;
        places.push(Math.sin(a) * Math.cos(b), Math.sin(a) * Math.sin(b), Math.cos(a));
      }
    for (let i = 0; i < rings; i++)
      for (let j = 0; j < around; j++) {
        const a = i * around + j, b = i * around + ((j + 1) % around);
        faces.push(a, a + around, b, b, a + around, b + around);
      }
    return [new Float32Array(places), new Uint16Array(faces)];
  }

  upload(places, faces) {
    const gl = this.gl, normals = new Float32Array(places.length);
    for (let f = 0; f < faces.length; f += 3) {
      const [a, b, c] = [faces[f], faces[f + 1], faces[f + 2]].map((i) => places.subarray(3 * i, 3 * i + 3));
      const u = [0, 1, 2].map((i) => b[i] - a[i]), v = [0, 1, 2].map((i) => c[i] - a[i]);
      const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (let k = 0; k < 3; k++) for (let i = 0; i < 3; i++) normals[3 * faces[f + k] + i] += n[i];
    }
    for (let i = 0; i < normals.length; i += 3) {
      const size = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      for (let k = 0; k < 3; k++) normals[i + k] /= size;
    }
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    [places, normals].forEach((values, slot) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(slot);
      gl.vertexAttribPointer(slot, 3, gl.FLOAT, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    return { array, count: faces.length };
  }

  async load(family) {
    for (const [index] of this.data.families[family].pieces) {
      if (this.meshes[index]) continue;
      const packed = this.data.meshes[index];
      const places = new Int16Array(await unpack(packed.vertices));
      const faces = new Uint16Array(await unpack(packed.faces));
      this.meshes[index] = this.upload(Float32Array.from(places, (x) => (x / 32767) * packed.size), faces);
    }
  }

  mesh(mesh, body, colour) {
    const gl = this.gl, p = this.programs.solid;
    gl.uniformMatrix4fv(p.at("body"), false, body);
    gl.uniform4fv(p.at("colour"), colour);
    gl.bindVertexArray(mesh.array);
    gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_SHORT, 0);
  }

  // `sides`: [{poses: body -> 7 numbers, trail: [x, y, z, ...], passed: points so far, ghost, colour}]
  draw(task, sides, view, centre) {
    const gl = this.gl, ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth * ratio, this.canvas.clientHeight * ratio].map(Math.round);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const seen = Matrix.multiply(Matrix.perspective(width / height), view);
    const family = this.data.families[task.family], fixed = task.fixed;

    gl.useProgram(this.programs.solid.program);
    gl.uniformMatrix4fv(this.programs.solid.at("view"), false, seen);
    gl.disable(gl.BLEND);
    for (const [mesh, body, colour, still] of family.pieces)
      if (still) this.mesh(this.meshes[mesh], Matrix.pose(fixed[body]), [...colour, 1]);
    for (const side of sides.filter((s) => !s.ghost)) this.bodies(family, side, 1, false);
    if (task.marks.goal) {
      const [x, y, z] = task.marks.goal, r = task.marks.follow ? 0.15 : 0.025;
      this.mesh(this.ball, new Float32Array([r, 0, 0, 0, 0, r, 0, 0, 0, 0, r, 0, x, y, z, 1]), [0.15, 0.75, 0.4, 1]);
    }
    gl.enable(gl.BLEND);
    for (const side of sides.filter((s) => s.ghost)) {
      // Depth first, so that only the nearest surface of the ghost is seen.
      gl.colorMask(false, false, false, false);
      this.bodies(family, side, 0.42, true);
      gl.colorMask(true, true, true, true);
      gl.depthFunc(gl.LEQUAL);
      this.bodies(family, side, 0.42, true);
      gl.depthFunc(gl.LESS);
    }
    gl.useProgram(this.programs.trail.program);
    gl.uniformMatrix4fv(this.programs.trail.at("view"), false, seen);
    for (const side of sides) this.trail(side, ratio);
    if (task.marks.follow) {
      gl.useProgram(this.programs.floor.program);
      gl.uniformMatrix4fv(this.programs.floor.at("view"), false, seen);
      gl.uniform3fv(this.programs.floor.at("centre"), centre);
      gl.bindVertexArray(this.square.array);
      gl.drawElements(gl.TRIANGLES, this.square.count, gl.UNSIGNED_SHORT, 0);
    }
    gl.bindVertexArray(null);
  }

  bodies(family, side, alpha, tinted) {
    for (const [mesh, body, colour, still] of family.pieces)
      if (!still) this.mesh(this.meshes[mesh], Matrix.pose(side.poses(body)), [...(tinted ? side.colour : colour), alpha]);
  }

  trail(side, ratio) {
    const gl = this.gl, p = this.programs.trail, count = side.trail.length / 3;
    gl.bindVertexArray(null);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.points);
    gl.bufferData(gl.ARRAY_BUFFER, side.trail, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.disableVertexAttribArray(1);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.uniform1f(p.at("size"), 5 * ratio);
    gl.uniform4fv(p.at("colour"), [...side.colour, 0.95]);
    gl.drawArrays(gl.POINTS, 0, side.passed);
    gl.uniform4fv(p.at("colour"), [...side.colour, 0.18]);
    if (count > side.passed) gl.drawArrays(gl.POINTS, side.passed, count - side.passed);
  }
}

class Player {
  constructor(root, data, names) {
    const find = (what) => root.querySelector(`[data-${what}]`);
    Object.assign(this, { root, data, names, find, time: 0, playing: false, turn: [0, 0], zoom: 1, task: null });
    this.solid = root.querySelector(".solid");
    this.plane = root.querySelector(".plane");
    find("play").addEventListener("click", () => this.play(!this.playing));
    find("time").addEventListener("input", (event) => {
      this.play(false);
      this.time = Number(event.target.value) / 1000;
      this.draw();
    });
    root.querySelectorAll("[data-zoom]").forEach((button) =>
      button.addEventListener("click", () => {
        this.zoom *= Number(button.dataset.zoom);
        this.draw();
      }),
    );
    this.solid.addEventListener("pointerdown", (event) => this.solid.setPointerCapture(event.pointerId));
    this.solid.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      this.turn = [this.turn[0] - 0.4 * event.movementX, Math.max(-65, Math.min(60, this.turn[1] - 0.3 * event.movementY))];
      this.draw();
    });
    for (const target of [document, window]) for (const kind of ["theme", "resize"]) target.addEventListener(kind, () => this.draw());
  }

  // Opens the episode of `stage` in row `row` of `tasks`.
  async show(tasks, part, row, stage) {
    const task = tasks[row], chosen = task.stages[stage];
    const sides = (stage ? [0, stage] : [0]).map((number) => ({ number, episode: task.stages[number], ghost: number !== stage }));
    const opened = (this.opened = (this.opened || 0) + 1);
    const kind = chosen.poses ? "solid" : "plane";
    this.solid.hidden = kind !== "solid";
    this.plane.hidden = kind !== "plane";
    this.root.querySelector(".zoom").hidden = kind !== "solid";
    if (kind === "solid") {
      this.drawer = this.drawer || new Solid(this.solid, this.data);
      this.find("sorry").hidden = this.drawer.ready;
      if (!this.drawer.ready) this.find("sorry").textContent = "This browser has no WebGL 2, which the replay is drawn with.";
      else await this.drawer.load(task.family);
      for (const side of sides) side.numbers = accumulate(await unpack(side.episode.poses), side.episode.moments.length);
    }
    if (opened !== this.opened) return; // another one was chosen meanwhile
    Object.assign(this, { task, sides, stage, time: 0 });
    this.root.dataset.shown = `${part} ${row} ${stage}`;
    this.find("what").textContent = `${task.family}, ${part} task ${task.position}, ${this.names[stage]}`;
    this.find("goal").textContent = task.goal;
    const before = this.root.querySelector(".side.before");
    before.style.visibility = stage ? "visible" : "hidden";
    this.find("name-before").textContent = this.names[0];
    this.find("name-after").textContent = this.names[stage];
    this.play(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
    this.draw();
  }

  play(on) {
    const was = this.playing;
    this.playing = on;
    this.find("play").textContent = on ? "❚❚" : "▶";
    if (!on || was) return;
    let last = null;
    const tick = (now) => {
      if (!this.playing) return;
      if (this.time >= 1) this.held = (this.held || 0) + (now - last);
      else this.time = Math.min(1, this.time + (last === null ? 0 : (now - last) / 1000 / SECONDS));
      if (this.held > 1500) [this.held, this.time] = [0, 0];
      last = now;
      if (this.root.offsetParent !== null) this.draw();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  // The longest episode fills the time line; a shorter one stands still when it is over.
  now(side) {
    const { moments } = side.episode, longest = Math.max(...this.sides.map((s) => s.episode.moments.at(-1)));
    const step = Math.min(this.time * longest, moments.at(-1));
    let i = moments.findIndex((m) => m >= step);
    if (i < 1) i = 1;
    if (moments.length < 2) return { step, i: 0, share: 0 };
    return { step, i: i - 1, share: (step - moments[i - 1]) / (moments[i] - moments[i - 1]) };
  }

  colour(name) {
    const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    return { text, numbers: [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255) };
  }

  draw() {
    if (!this.task) return;
    this.find("time").value = Math.round(this.time * 1000);
    this.sides.forEach((side) => {
      const { step, i, share } = this.now(side), { returns, success } = side.episode;
      const gained = returns.length > 1 ? returns[i] + share * (returns[i + 1] - returns[i]) : returns[0];
      const at = i + (share >= 1 ? 1 : 0), solved = success >= 0 && at >= success ? ", success" : "";
      const text = (share >= 1 ? returns[i + 1] : gained).toFixed(2);
      this.find(side.number === this.stage ? "return-after" : "return-before").textContent = `return ${text}${solved}`;
      if (side.number === this.stage) this.find("step").textContent = `step ${Math.round(step)}`;
    });
    if (!this.plane.hidden) return this.drawPlane();
    if (!this.drawer.ready) return;
    const { marks, family } = this.task, bodies = this.data.families[family].bodies;
    const centre = [...marks.look_at];
    const sides = this.sides.map((side) => {
      const { moments, scale } = side.episode, times = moments.length, { i, share } = this.now(side);
      const value = (slot, number, k) => side.numbers[(slot * 7 + number) * times + k];
      const poses = (body) => {
        const slot = bodies.indexOf(body), k = Math.min(i + 1, times - 1);
        const p = Array.from({ length: 7 }, (_, n) => (1 - share) * value(slot, n, i) + share * value(slot, n, k));
        const size = Math.hypot(p[3], p[4], p[5], p[6]) || 1;
        return p.map((x, n) => (n < 3 ? x * scale : x / size));
      };
      const slot = bodies.indexOf(marks.trail), trail = new Float32Array(3 * times);
      for (let k = 0; k < times; k++) for (let n = 0; n < 3; n++) trail[3 * k + n] = value(slot, n, k) * scale;
      if (marks.follow && !side.ghost) [0, 1].forEach((n) => (centre[n] += poses(marks.trail)[n]));
      const colour = this.colour(side.number === this.stage && this.stage ? "after" : "before").numbers;
      return { poses, trail, passed: i + 1, ghost: side.ghost, colour };
    });
    const view = Matrix.camera(centre, marks.distance * this.zoom, marks.azimuth + this.turn[0], marks.elevation + this.turn[1]);
    this.drawer.draw(this.task, sides, view, centre);
  }

  drawPlane() {
    const ratio = window.devicePixelRatio || 1, canvas = this.plane;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    [canvas.width, canvas.height] = [width * ratio, height * ratio].map(Math.round);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.lineJoin = "round";
    const path = (points, colour, thick) => {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      points.forEach(([x, y]) => pen.lineTo(x, y));
      pen.stroke();
    };
    const dot = ([x, y], r, colour) => {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x, y, r, 0, 2 * Math.PI);
      pen.fill();
    };
    const flat = Boolean(this.sides[0].episode.path), { goal, extent } = this.task.marks;
    const values = this.sides.flatMap((s) => s.episode.returns), low = Math.min(0, ...values), high = Math.max(0, ...values);
    const longest = Math.max(...this.sides.map((s) => s.episode.moments.at(-1)), 1), line = this.colour("line").text;
    const half = Math.min(width, height) / 2;
    const place = flat
      ? ([x, y]) => [width / 2 + (x / extent) * half, height / 2 - (y / extent) * half]
      : ([x, y]) => [40 + (x / longest) * (width - 80), height - 40 - ((y - low) / (high - low || 1)) * (height - 90)];
    if (flat) {
      for (let t = -4; t <= 4; t++) {
        path([[t / 4, -9], [t / 4, 9]].map((p) => place([p[0] * extent, p[1]])), line, 1);
        path([[-9, t / 4], [9, t / 4]].map((p) => place([p[0], p[1] * extent])), line, 1);
      }
      dot(place(goal), 11, this.colour("good").text);
      dot(place(goal), 8, this.colour("card").text);
      dot(place(goal), 3, this.colour("good").text);
      dot(place([0, 0]), 3, this.colour("quiet").text);
    } else {
      path([[0, 0], [longest, 0]].map(place), line, 1);
      pen.fillStyle = this.colour("quiet").text;
      pen.font = "12px sans-serif";
      pen.fillText("return so far", 40, height - 14);
    }
    for (const side of this.sides) {
      const { i, share } = this.now(side), { moments, returns } = side.episode;
      const all = flat ? side.episode.path : moments.map((m, k) => [m, returns[k]]);
      const end = Math.min(i + 1, all.length - 1), mix = (n) => all[i][n] + share * (all[end][n] - all[i][n]);
      const so = [...all.slice(0, i + 1), [mix(0), mix(1)]].map(place);
      const colour = this.colour(side.number === this.stage && this.stage ? "after" : "before").text;
      path(so, colour, side.ghost ? 2 : 3);
      dot(so.at(-1), side.ghost ? 5 : 7, colour);
    }
  }
}
