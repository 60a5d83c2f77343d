"use strict";
// Episodes in three dimensions, with WebGL 2. All runs of a page share one context (browsers drop contexts from about
// sixteen on) and one copy of each mesh; a replay gets a picture of what was drawn.
//
// Why no kept 3-D library, of which three.js is the one to think of: its 700 KB (minified) would be half of most pages,
// each of which carries its own copy. What is drawn is some dozen small meshes under one light, a grid and dots; this file
// is all it takes. Loaders, shadows, materials and scene graphs would come along unused.

const Matrix = {
  multiply(a, b) {
    const out = new Float32Array(16);
    for (let c = 0; c < 4; c++)
      for (let r = 0; r < 4; r++)
        for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
    return out;
  },
  perspective(aspect) {
    const f = 1 / SLOPE, near = 0.05, far = 200;
    const depth = 1 / (near - far);
    return new Float32Array([f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) * depth, -1, 0, 0, 2 * far * near * depth, 0]);
  },
  // Rightwards, upwards and forwards of MuJoCo's free camera, which looks along (azimuth, elevation); z is up.
  axes(azimuth, elevation) {
    const a = (azimuth * Math.PI) / 180, e = (elevation * Math.PI) / 180;
    const f = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)], s = [Math.sin(a), -Math.cos(a), 0];
    return [s, [s[1] * f[2] - s[2] * f[1], s[2] * f[0] - s[0] * f[2], s[0] * f[1] - s[1] * f[0]], f];
  },
  camera(at, distance, [s, u, f]) {
    const eye = at.map((x, i) => x - distance * f[i]);
    return new Float32Array([s[0], u[0], -f[0], 0, s[1], u[1], -f[1], 0, s[2], u[2], -f[2], 0, -dot(s, eye), -dot(u, eye), dot(f, eye), 1]);
  },
  // Where a place is in a picture of that size; nothing if it lies behind the camera.
  project(m, [x, y, z], { width, height }) {
    const [right, up, , depth] = [0, 1, 2, 3].map((r) => m[r] * x + m[4 + r] * y + m[8 + r] * z + m[12 + r]);
    return depth > 0.05 && [((1 + right / depth) / 2) * width, ((1 - up / depth) / 2) * height];
  },
  pose([x, y, z, w, i, j, k]) {
    return new Float32Array([
      1 - 2 * (j * j + k * k), 2 * (i * j + k * w), 2 * (i * k - j * w), 0,
      2 * (i * j - k * w), 1 - 2 * (i * i + k * k), 2 * (j * k + i * w), 0,
      2 * (i * k + j * w), 2 * (j * k - i * w), 1 - 2 * (i * i + j * j), 0, x, y, z, 1,
    ]);
  },
};

const SLOPE = Math.tan((45 * Math.PI) / 360); // half the height of the picture, one metre in front of the camera
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

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

// Where a task is seen from. It begins as its family's camera stands (`marks`), moved and backed off as far as it takes
// to have all of `points` in the picture, which are relative to what is looked at.
class Camera {
  constructor(marks, points, aspect) {
    this.marks = marks;
    const [s, u, f] = Matrix.axes(marks.azimuth, marks.elevation), slope = 0.94 * SLOPE, near = [Infinity, Infinity];
    const far = [-Infinity, -Infinity], slopes = [slope * aspect, slope];
    let distance = marks.distance;
    for (const point of points) {
      if (Math.hypot(...point) > marks.distance) continue; // something that flew off
      const [x, y, z] = [dot(s, point), dot(u, point), -dot(f, point)];
      [x, y].forEach((value, i) => {
        far[i] = Math.max(far[i], value + z * slopes[i]);
        near[i] = Math.min(near[i], value - z * slopes[i]);
      });
      distance = Math.max(distance, z + 0.1);
    }
    if (far[0] === -Infinity) [far, near].forEach((ends) => ends.fill(0));
    // A point is in the picture if |its place - centre| <= (distance - z) * slope, in both directions.
    slopes.forEach((slope, i) => (distance = Math.max(distance, (far[i] - near[i]) / (2 * slope))));
    const centre = slopes.map((slope, i) => clamp(0, far[i] - distance * slope, near[i] + distance * slope));
    this.fitted = { distance, at: marks.look_at.map((x, n) => x + centre[0] * s[n] + centre[1] * u[n]) };
    this.reset();
  }

  reset() {
    Object.assign(this, { turned: [0, 0], moved: [0, 0, 0], closer: 1 });
  }

  turn(right, up) {
    const { elevation } = this.marks;
    this.turned = [this.turned[0] + right, clamp(this.turned[1] + up, Math.max(-65, -89 - elevation), Math.min(60, 89 - elevation))];
  }

  zoom(factor) {
    this.closer = clamp(this.closer * factor, 0.3, 4);
  }

  // By shares of the picture's height.
  move(right, up) {
    const [s, u] = this.axes(), size = 2 * SLOPE * this.distance(), most = 2 * this.fitted.distance;
    this.moved = this.moved.map((x, n) => clamp(x + size * (right * s[n] + up * u[n]), -most, most));
  }

  axes() {
    return Matrix.axes(this.marks.azimuth + this.turned[0], this.marks.elevation + this.turned[1]);
  }

  distance() {
    return this.fitted.distance / this.closer;
  }

  // `followed`: how far the camera has gone along; `least`: how far off it is at least, before it is moved closer.
  view(followed, least = 0) {
    const at = this.fitted.at.map((x, n) => x + this.moved[n] + followed[n]);
    return { matrix: Matrix.camera(at, Math.max(this.distance(), least / this.closer), this.axes()), at };
  }
}

// Poses of an episode, as meta_rl/visualise/page/replay.py packs them.
class Poses {
  static async of(episode, bodies) {
    const times = episode.moments.length, numbers = accumulate(await unpack(episode.poses), times);
    return Object.assign(new Poses(), { bodies, times, numbers, scale: episode.scale });
  }

  // Place and turn of a body at moment `k`, or `share` of the way to the next one.
  at(body, k, share = 0) {
    const row = 7 * this.bodies.indexOf(body) * this.times, next = Math.min(k + 1, this.times - 1);
    const p = [0, 1, 2, 3, 4, 5, 6].map((n) => {
      const at = row + n * this.times;
      return (1 - share) * this.numbers[at + k] + share * this.numbers[at + next];
    });
    const size = Math.hypot(p[3], p[4], p[5], p[6]) || 1;
    return p.map((x, n) => (n < 3 ? x * this.scale : x / size));
  }
}

// Draws the bodies of an episode.
class Solid {
  constructor(data) {
    Object.assign(this, { data, canvas: document.createElement("canvas"), ready: false });
    const gl = this.canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
    this.gl = gl;
    this.missing = !gl;
    if (!gl) return;
    this.start();
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // it may come back
      this.ready = false;
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.start();
      document.dispatchEvent(new Event("restored"));
    });
  }

  // All that a context holds, which is lost with it; meshes are uploaded by `load`.
  start() {
    const gl = this.gl;
    this.meshes = [];
    this.programs = Object.fromEntries(Object.entries(SHADERS).map(([name, pair]) => [name, this.program(pair)]));
    this.ball = this.upload(...Solid.sphere());
    this.square = this.upload(new Float32Array([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0]), new Uint16Array([0, 1, 2, 0, 2, 3]));
    this.points = gl.createBuffer();
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.ready = true;
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

  // The one that all replays of the page share; made when the first of them opens.
  static of(data) {
    return (Solid.only ||= new Solid(data));
  }

  async load(family) {
    for (const [index] of this.data.families[family].pieces) {
      if (this.meshes[index]) continue;
      const meshes = this.meshes, packed = this.data.meshes[index];
      const places = Float32Array.from(new Int16Array(await unpack(packed.vertices)), (x) => (x / 32767) * packed.size);
      const faces = new Uint16Array(await unpack(packed.faces));
      if (meshes !== this.meshes) return this.load(family); // the context was lost meanwhile
      meshes[index] = { ...this.upload(places, faces), corners: Solid.corners(places) };
    }
  }

  // Of the box around a mesh.
  static corners(places) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    places.forEach((x, i) => ([low[i % 3], high[i % 3]] = [Math.min(low[i % 3], x), Math.max(high[i % 3], x)]));
    return [0, 1, 2, 3, 4, 5, 6, 7].map((c) => [0, 1, 2].map((n) => (c & (1 << n) ? high[n] : low[n])));
  }

  // The camera of a task: all that moves is in the picture, at every moment of every stage.
  camera(task, stages, aspect) {
    const { marks } = task, points = [], pieces = this.data.families[task.family].pieces.filter((piece) => !piece[3]);
    const middle = marks.look_at;
    for (const poses of stages)
      for (let k = 0; k < poses.times; k++) {
        const followed = marks.follow ? poses.at(marks.trail, k) : [0, 0];
        for (const [mesh, body] of pieces) {
          const m = Matrix.pose(poses.at(body, k));
          for (const [x, y, z] of this.meshes[mesh].corners)
            points.push([0, 1, 2].map((n) => m[n] * x + m[n + 4] * y + m[n + 8] * z + m[n + 12] - middle[n] - (n < 2 ? followed[n] : 0)));
        }
      }
    if (marks.goal && !marks.follow) points.push(marks.goal.map((x, n) => x - middle[n]));
    return new Camera(marks, points, aspect);
  }

  mesh(mesh, body, colour) {
    const gl = this.gl, p = this.programs.solid;
    gl.uniformMatrix4fv(p.at("body"), false, body);
    gl.uniform4fv(p.at("colour"), colour);
    gl.bindVertexArray(mesh.array);
    gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_SHORT, 0);
  }

  // `sides`: [{poses: body -> 7 numbers, trail: [x, y, z, ...], passed: points so far, ghost, colour}]. Whether there is
  // a picture, of `width` times `height` pixels, `ratio` of them to one of the page.
  draw(task, sides, { matrix, at }, [width, height], ratio) {
    const gl = this.gl, family = this.data.families[task.family], fixed = task.fixed;
    if (!this.ready || family.pieces.some(([mesh]) => !this.meshes[mesh])) return false;
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const seen = Matrix.multiply(Matrix.perspective(width / height), matrix);

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
      gl.uniform3fv(this.programs.floor.at("centre"), at);
      gl.bindVertexArray(this.square.array);
      gl.drawElements(gl.TRIANGLES, this.square.count, gl.UNSIGNED_SHORT, 0);
    }
    gl.bindVertexArray(null);
    return true;
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
