"use strict";
/* Bodies and skeletons that can be turned.  The mesh is drawn by WebGL, or triangle by triangle on a plain canvas where
   there is none; floor and skeletons are lines on canvases below and above it.  Axes of the crop camera: x right, y down,
   z forward; the pelvis is the origin. */
const FAR_M = 4.2, OPENING = 0.62, LIGHT = [-0.35, -0.6, -0.72];
const VERTEX = "attribute vec3 place, normal; uniform mat3 turn; uniform vec3 eye; varying vec3 facing;" +
  "void main() { vec3 at = turn * place; facing = turn * normal; float far = at.z + eye.x;" +
  "gl_Position = vec4(at.x * eye.y, -at.y * eye.z, (far - 1.0) * 0.2 * far - far, far); }";
const FRAGMENT = "precision mediump float; varying vec3 facing; uniform vec3 light, colour;" +
  "void main() { vec3 n = normalize(facing); float lit = 0.42 + 0.58 * max(dot(n, light), 0.0);" +
  "float rim = pow(1.0 - max(-n.z, 0.0), 3.0) * 0.18; gl_FragColor = vec4(colour * (lit - rim), 1.0); }";

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer;
const unit = v => { const length = Math.hypot(...v) || 1; return v.map(x => x / length); };
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const times = (m, v, at = 0) => [0, 1, 2].map(r => m[3 * r] * v[at] + m[3 * r + 1] * v[at + 1] + m[3 * r + 2] * v[at + 2]);
const product = (a, b) => [0, 1, 2].flatMap(r => [0, 1, 2].map(c => a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c]));

/* Rodrigues' formula: the rotation about an axis. */
function about(axis, angle) {
  const [x, y, z] = unit(axis), c = Math.cos(angle), s = Math.sin(angle), d = 1 - c;
  return [c + x * x * d, x * y * d - z * s, x * z * d + y * s, y * x * d + z * s, c + y * y * d, y * z * d - x * s,
    z * x * d - y * s, z * y * d + x * s, c + z * z * d];
}

function unpacked(text, step) {
  const whole = new Int16Array(bytes(text)), places = new Float32Array(whole.length);
  for (let i = 0; i < whole.length; i++) places[i] = whole[i] * step;
  return places;
}

function normals(places, faces) {
  const sums = new Float32Array(places.length);
  for (let i = 0; i < faces.length; i += 3) {
    const [a, b, c] = [3 * faces[i], 3 * faces[i + 1], 3 * faces[i + 2]];
    const one = [0, 1, 2].map(k => places[b + k] - places[a + k]), two = [0, 1, 2].map(k => places[c + k] - places[a + k]);
    const across = cross(one, two);
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) sums[corner + k] += across[k];
  }
  for (let i = 0; i < sums.length; i += 3) {
    const length = Math.hypot(sums[i], sums[i + 1], sums[i + 2]) || 1;
    for (let k = 0; k < 3; k++) sums[i + k] /= length;
  }
  return sums;
}

/* WebGL: returns null where it is not to be had. */
function glPainter(canvas, faces) {
  const gl = canvas.getContext("webgl", { antialias: true, alpha: true });
  if (!gl) return null;
  let program, buffers, given;
  const prepare = () => {
    program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    buffers = ["place", "normal"].map(name => {
      const buffer = gl.createBuffer(), slot = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(slot);
      gl.vertexAttribPointer(slot, 3, gl.FLOAT, false, 0, 0);
      return buffer;
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0, 0, 0, 0);
    if (given) fill(...given);
  };
  const fill = (places, facing) => {
    given = [places, facing];
    given.forEach((values, i) => { gl.bindBuffer(gl.ARRAY_BUFFER, buffers[i]); gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW); });
  };
  const paint = (view, colour) => {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!given || !view.mesh) return;
    const uniform = name => gl.getUniformLocation(program, name), m = view.turn;
    gl.uniformMatrix3fv(uniform("turn"), false, [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]]);
    gl.uniform3f(uniform("eye"), FAR_M, 2 * view.focal / canvas.width, 2 * view.focal / canvas.height);
    gl.uniform3fv(uniform("light"), unit(LIGHT));
    gl.uniform3fv(uniform("colour"), colour);
    gl.drawElements(gl.TRIANGLES, faces.length, gl.UNSIGNED_SHORT, 0);
  };
  prepare();
  canvas.addEventListener("webglcontextlost", event => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { prepare(); canvas.dispatchEvent(new Event("again", { bubbles: true })); });
  return { fill, paint, kind: "webgl" };
}

/* Without WebGL: triangles from far to near on a plain canvas. */
function flatPainter(canvas, faces) {
  const pen = canvas.getContext("2d"), light = unit(LIGHT), count = faces.length / 3;
  let places = null;
  const paint = (view, colour) => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!places || !view.mesh) return;
    const turned = new Float32Array(places.length), order = [];
    for (let i = 0; i < places.length; i += 3) turned.set(times(view.turn, places, i), i);
    const put = i => { const far = turned[3 * i + 2] + FAR_M; return [canvas.width / 2 + view.focal * turned[3 * i] / far, canvas.height / 2 + view.focal * turned[3 * i + 1] / far]; };
    for (let f = 0; f < count; f++) {
      const corners = [faces[3 * f], faces[3 * f + 1], faces[3 * f + 2]], [a, b, c] = corners.map(put);
      if ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) < 0) order.push([corners.reduce((sum, i) => sum + turned[3 * i + 2], 0), corners, a, b, c]);
    }
    order.sort((one, other) => other[0] - one[0]);
    for (const [, corners, a, b, c] of order) {
      const [p, q, r] = corners.map(i => turned.subarray(3 * i, 3 * i + 3));
      const n = unit(cross([q[0] - p[0], q[1] - p[1], q[2] - p[2]], [r[0] - p[0], r[1] - p[1], r[2] - p[2]]));
      const lit = 0.42 + 0.58 * Math.max(0, n[0] * light[0] + n[1] * light[1] + n[2] * light[2]);
      pen.fillStyle = pen.strokeStyle = `rgb(${colour.map(part => Math.round(255 * part * lit)).join(",")})`;
      pen.beginPath(); pen.moveTo(...a); pen.lineTo(...b); pen.lineTo(...c); pen.closePath(); pen.fill(); pen.stroke();
    }
  };
  return { fill: given => { places = given; }, paint, kind: "canvas" };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.scene = JSON.parse(document.getElementById(root.dataset.scene).textContent);
    this.stage = root.querySelector(".stage");
    this.canvases = ["floor", "mesh", "lines"].map(name => root.querySelector(`canvas.${name}`));
    this.faces = this.scene.faces ? new Uint16Array(bytes(this.scene.faces)) : new Uint16Array(0);
    this.painter = this.faces.length ? glPainter(this.canvases[1], this.faces) || flatPainter(this.canvases[1], this.faces) : null;
    this.shown = { mesh: true, predicted: true, true: true };
    this.yaw = this.pitch = 0;
    this.size = 1;
    this.fingers = new Map();
    this.stage.dataset.painter = this.painter ? this.painter.kind : "lines";
    root.querySelectorAll("[data-show]").forEach(box => {
      const tell = () => { this.shown[box.dataset.show] = box.checked; this.ask(); };
      box.addEventListener("change", tell);
      tell();
    });
    root.querySelectorAll("[data-turn]").forEach(button => button.addEventListener("click", () => this.lookFrom(...button.dataset.turn.split(",").map(Number))));
    this.listen();
    new ResizeObserver(() => this.ask()).observe(this.stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.ask());
  }

  show(card) {
    this.frame = this.scene.frames[card.dataset.frame];
    const image = this.root.querySelector(".seen img"), from = card.querySelector("img");
    image.hidden = !from;
    if (from) { image.src = from.src; image.alt = "What the camera saw"; }
    this.root.querySelector(".what").textContent = this.frame.name;
    this.root.querySelector(".errors").textContent = card.dataset.errors;
    if (this.frame.vertices) {
      this.frame.places ||= unpacked(this.frame.vertices, this.frame.step_m);
      this.painter.fill(this.frame.places, normals(this.frame.places, this.faces));
    }
    this.ask();
  }

  lookFrom(yaw, pitch) {
    [this.yaw, this.pitch] = [yaw, pitch].map(degrees => degrees * Math.PI / 180);
    this.size = 1;
    this.mark();
    this.ask();
  }

  mark() {
    const now = [this.yaw, this.pitch].map(angle => Math.round(angle * 180 / Math.PI)).join(",");
    this.root.querySelectorAll("[data-turn]").forEach(button => button.setAttribute("aria-pressed", String(button.dataset.turn === now)));
  }

  turnBy(yaw, pitch, size = 1) {
    this.yaw += yaw;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + pitch));
    this.size = Math.max(0.4, Math.min(5, this.size * size));
    this.mark();
    this.ask();
  }

  listen() {
    const { stage, fingers } = this;
    const apart = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
    stage.addEventListener("pointerdown", event => { fingers.set(event.pointerId, [event.clientX, event.clientY]); stage.setPointerCapture(event.pointerId); });
    stage.addEventListener("pointermove", event => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (before) this.turnBy(0, 0, apart() / (before || 1));
      else this.turnBy((event.clientX - last[0]) * 0.009, (event.clientY - last[1]) * 0.009);
    });
    ["pointerup", "pointercancel"].forEach(name => stage.addEventListener(name, event => fingers.delete(event.pointerId)));
    stage.addEventListener("wheel", event => {
      if (!event.ctrlKey && document.activeElement !== stage) return;
      event.preventDefault();
      this.turnBy(0, 0, Math.exp(-event.deltaY * 0.0015));
    }, { passive: false });
    stage.addEventListener("keydown", event => {
      const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15], "+": [0, 0, 1.15], "=": [0, 0, 1.15], "-": [0, 0, 1 / 1.15] }[event.key];
      if (!step && event.key !== "0") return;
      event.preventDefault();
      if (step) this.turnBy(...step); else this.lookFrom(0, 0);
    });
    stage.addEventListener("again", () => this.ask());
  }

  /* Paint once before the next picture of the screen, however often asked. */
  ask() {
    this.asked ||= requestAnimationFrame(() => { this.asked = 0; this.paint(); });
  }

  paint() {
    if (!this.frame) return;
    const ratio = Math.min(devicePixelRatio || 1, 2), box = this.stage.getBoundingClientRect();
    const [width, height] = [box.width, box.height].map(side => Math.max(1, Math.round(side * ratio)));
    for (const canvas of this.canvases) if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const turn = product(about([1, 0, 0], -this.pitch), about(this.frame.up, -this.yaw));
    const focal = this.size * Math.min(width, height) / OPENING * 0.5 * 2.05, mesh = this.shown.mesh;
    const style = getComputedStyle(this.root), ink = name => style.getPropertyValue(name).trim();
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.view = { turn, focal, mesh, width, height, ratio };
    this.paintFloor(this.canvases[0].getContext("2d"), ink("--line"));
    if (this.painter) this.painter.paint(this.view, dark ? [0.66, 0.72, 0.79] : [0.73, 0.78, 0.84]);
    const pen = this.canvases[2].getContext("2d");
    pen.clearRect(0, 0, width, height);
    const colours = { left: ink("--left"), right: ink("--right"), middle: ink("--middle") };
    if (this.shown.true) this.paintBones(pen, this.frame.true, colours, true);
    if (this.shown.predicted) this.paintBones(pen, this.frame.predicted, colours, false);
  }

  put(place) {
    const { turn, focal, width, height } = this.view, [x, y, z] = times(turn, place), far = Math.max(0.2, z + FAR_M);
    return [width / 2 + focal * x / far, height / 2 + focal * y / far];
  }

  paintBones(pen, flat, colours, dashed) {
    const at = i => this.put(flat.slice(3 * i, 3 * i + 3)), { ratio } = this.view;
    if (!flat.length) return;
    pen.lineCap = "round";
    pen.lineWidth = (dashed ? 2 : 3.5) * ratio;
    pen.setLineDash(dashed ? [6 * ratio, 5 * ratio] : []);
    this.scene.skeleton.bones.forEach(([from, to], i) => {
      pen.strokeStyle = colours[this.scene.skeleton.sides[i]];
      pen.beginPath(); pen.moveTo(...at(from)); pen.lineTo(...at(to)); pen.stroke();
    });
  }

  /* A grid of half metres under the lowest point, level in the world. */
  paintFloor(pen, colour) {
    const { width, height, ratio } = this.view, { up } = this.frame, cloud = this.frame.places || [...this.frame.true, ...this.frame.predicted];
    pen.clearRect(0, 0, width, height);
    let lowest = Infinity;
    for (let i = 0; i < cloud.length; i += 3) lowest = Math.min(lowest, cloud[i] * up[0] + cloud[i + 1] * up[1] + cloud[i + 2] * up[2]);
    const one = unit(cross(up, [0, 0, 1])), two = cross(up, one);
    const place = (a, b) => this.put([0, 1, 2].map(k => a * one[k] + b * two[k] + lowest * up[k]));
    pen.strokeStyle = colour;
    pen.lineWidth = ratio;
    for (let k = -2; k <= 2; k++) for (const [a, b] of [[[k / 2, -1], [k / 2, 1]], [[-1, k / 2], [1, k / 2]]]) {
      pen.beginPath(); pen.moveTo(...place(...a)); pen.lineTo(...place(...b)); pen.stroke();
    }
  }
}
