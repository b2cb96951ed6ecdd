"use strict";

// Tables: a click on a column's head sorts by it, another one the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const number = (cell) => parseFloat(cell.textContent.replace(/,/g, ""));
  heads.forEach((head, column) => {
    const cells = [...body.rows].map((row) => row.cells[column]);
    const filled = cells.filter((cell) => cell.textContent.trim() && cell.textContent !== "—");
    const numeric = filled.length > 0 && filled.every((cell) => /^[-+]?[\d.]/.test(cell.textContent) && !cell.querySelector("code"));
    if (numeric) [head, ...cells].forEach((cell) => cell.classList.add("number"));
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        if (!numeric) return x.textContent.localeCompare(y.textContent, "en", { numeric: true }) * (up ? 1 : -1);
        const [p, q] = [number(x), number(y)];
        // What is not there comes last, whichever way.
        if (isNaN(p) || isNaN(q)) return isNaN(p) - isNaN(q);
        return (p - q) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

// In print nobody can open it.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.print")) details.open = true;
});

// The player: pictures are computed from the factors of the updates, as in fpa/evaluation/trace.py.
class Painting {
  constructor(data, index) {
    const { channels, steps, size } = data;
    Object.assign(this, { channels, steps, size, tanh: data.tanh });
    const block = channels * steps * size;
    const part = (array, length) => array.subarray(index * length, (index + 1) * length);
    this.left = part(data.left, block);
    this.right = part(data.right, block);
    this.values = part(data.values, block);
    this.rates = part(data.rates, steps);
    this.initial = data.initial;
    this.refined = data.refined && part(data.refined, channels * size * size);
    this.partials = [];
    const sum = new Float64Array(channels * size * size);
    for (let step = 0; step < steps; step++) {
      const update = this.update(step);
      for (let i = 0; i < sum.length; i++) sum[i] += update[i];
      this.partials.push(this.initial ? sum.map((x, i) => x + this.initial[i]) : sum.slice());
    }
    this.norm = norm(this.partials[steps - 1]);
  }

  // left_t right_t^T of every channel, (C, D, D).
  update(step) {
    const { channels, steps, size } = this;
    const out = new Float64Array(channels * size * size);
    for (let c = 0; c < channels; c++) {
      const at = (c * steps + step) * size;
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) out[(c * size + i) * size + j] = this.left[at + i] * this.right[at + j];
    }
    return out;
  }

  // Brought to the norm of the finished image, through its tanh, to bytes.
  pixels(matrix) {
    const factor = this.norm / Math.max(norm(matrix), 1e-12);
    return Uint8Array.from(matrix, (x) => {
      const y = this.tanh ? Math.tanh(x * factor) : x * factor;
      return Math.floor(Math.min(Math.max(y, 0), 1) * 255 + 0.5);
    });
  }
}

function norm(matrix) {
  let sum = 0;
  for (const x of matrix) sum += x * x;
  return Math.sqrt(sum);
}

// bytes (C, H, W) onto a canvas, grey or RGB.
function show(canvas, bytes, channels, width, height) {
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = bytes[(channels === 1 ? 0 : c) * width * height + i];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const POSITIVE = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];
const SIGNED = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];

// A colour (r, g, b) between anchors, for x in [0, 1].
function colour(anchors, x) {
  const place = Math.min(Math.max(x, 0), 1) * (anchors.length - 1);
  const low = Math.min(Math.floor(place), anchors.length - 2);
  return anchors[low].map((a, c) => a + (place - low) * (anchors[low + 1][c] - a));
}

// One step's vectors (C, D) as a heat strip: along the columns of the image, or along its rows.
function strip(canvas, painting, vectors, step, shade, upright) {
  const { channels, steps, size } = painting;
  const [width, height] = upright ? [channels, size] : [size, channels];
  const bytes = new Uint8Array(3 * width * height);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < size; i++) {
      const place = upright ? i * width + c : c * width + i;
      shade(vectors[(c * steps + step) * size + i]).forEach((byte, k) => (bytes[k * width * height + place] = byte));
    }
  show(canvas, bytes, 3, width, height);
}

function startPlayer(entries) {
  const $ = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  for (const entry of entries) {
    for (const name of ["left", "right", "rates", "initial"])
      entry[name] = entry[name] && new Float32Array(bytes(entry[name]));
    entry.values = new Int8Array(bytes(entry.values));
    entry.refined = entry.refined && new Uint8Array(bytes(entry.refined));
  }
  let entry, painting, timer;

  function choosePainter() {
    entry = entries[$("which").selectedIndex];
    const thumbnails = Array.from({ length: entry.paintings }, (_, i) => {
      const [button, canvas] = [document.createElement("button"), document.createElement("canvas")];
      const sample = new Painting(entry, i);
      show(canvas, sample.refined || sample.pixels(sample.partials[entry.steps - 1]), entry.channels, entry.size, entry.size);
      canvas.setAttribute("aria-hidden", "true");
      button.type = "button";
      button.setAttribute("aria-label", `Painting ${i + 1}`);
      button.append(canvas);
      button.addEventListener("click", () => choosePainting(i));
      return button;
    });
    $("choices").replaceChildren(...thumbnails);
    $("step").max = entry.steps;
    $("step").value = entry.steps;
    choosePainting(0);
  }

  function choosePainting(index) {
    painting = new Painting(entry, index);
    [...$("choices").children].forEach((button, i) => button.setAttribute("aria-pressed", i === index));
    $("refined-figure").hidden = !painting.refined;
    if (painting.refined) show($("refined"), painting.refined, entry.channels, entry.size, entry.size);
    drawRates();
    drawStep();
  }

  const across = (step) => (entry.steps > 1 ? (300 * step) / (entry.steps - 1) : 150);

  function drawRates() {
    const top = Math.max(1, ...painting.rates);
    const points = Array.from(painting.rates, (rate, i) => `${across(i)},${100 - (100 * Math.max(rate, 0)) / top}`);
    $("highest").textContent = +top.toPrecision(2);
    $("rates").innerHTML = `<polyline points="${points.join(" ")}"/><line y1="0" y2="100"/>`;
  }

  function drawStep() {
    const step = $("step").value - 1;
    const { channels, size } = entry;
    const update = painting.update(step);
    show($("image"), painting.pixels(painting.partials[step]), channels, size, size);
    show($("update"), painting.pixels(update), channels, size, size);
    const brightest = painting.right.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-12);
    const signed = painting.right.some((x) => x < 0);
    const key = signed ? (x) => colour(SIGNED, 0.5 + x / brightest / 2) : (x) => colour(POSITIVE, x / brightest);
    strip($("key"), painting, painting.right, step, key, false);
    strip($("value"), painting, painting.values, step, (x) => colour(SIGNED, 0.5 + x / 254), true);
    const [rate, share] = [painting.rates[step].toFixed(2), (norm(update) / painting.norm).toFixed(2)];
    const position = `step ${step + 1} of ${entry.steps}`;
    $("position").textContent = position;
    $("step").setAttribute("aria-valuetext", position);
    $("image-caption").textContent = `the image after ${position}`;
    $("rate").textContent = `learning rate b = ${rate}; norm of the update: ${share} of the image's`;
    const sample = [...$("choices").children].findIndex((button) => button.getAttribute("aria-pressed") === "true") + 1;
    $("image").setAttribute("aria-label", `Painting ${sample} by ${entry.name} after ${position}`);
    $("update").setAttribute("aria-label", `The rank-1 update of step ${step + 1}, ${share} of the image's norm`);
    $("key").setAttribute("aria-label", `The key of step ${step + 1}: ${peaks(painting.right, step, "column")}`);
    $("value").setAttribute("aria-label", `The value of step ${step + 1}: ${peaks(painting.values, step, "row")}`);
    $("rates").setAttribute("aria-label", `Learning rate of each step; at step ${step + 1} it is ${rate}`);
    const [marker] = $("rates").getElementsByTagName("line");
    for (const end of ["x1", "x2"]) marker.setAttribute(end, across(step));
  }

  // Where a step's vector is largest, in words.
  function peaks(vectors, step, what) {
    const here = vectors.subarray(step * entry.size, (step + 1) * entry.size);
    const place = here.reduce((best, x, i) => (Math.abs(x) > Math.abs(here[best]) ? i : best), 0);
    return `largest at ${what} ${place + 1} of ${entry.size}`;
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    $("play").textContent = "Play";
  }

  function toggle() {
    if (timer !== undefined) return stop();
    if (Number($("step").value) >= entry.steps) $("step").value = 1;
    drawStep();
    $("play").textContent = "Pause";
    timer = setInterval(() => {
      move(1);
      if (Number($("step").value) >= entry.steps) stop();
    }, Math.max(60, Math.min(400, 6000 / entry.steps)));
  }

  function move(by) {
    $("step").value = Number($("step").value) + by;
    drawStep();
  }

  $("which").addEventListener("change", () => {
    stop();
    choosePainter();
  });
  $("step").addEventListener("input", () => {
    stop();
    drawStep();
  });
  $("play").addEventListener("click", toggle);
  $("player").addEventListener("keydown", (event) => {
    const on = event.target.id;
    if (event.key === " " && event.target.tagName !== "BUTTON" && on !== "which") {
      event.preventDefault();
      toggle();
    }
    // The slider and the list know the other keys themselves.
    if (on === "step" || on === "which") return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -entry.steps, End: entry.steps };
    if (event.key in moves) {
      event.preventDefault();
      stop();
      move(moves[event.key]);
    }
  });
  choosePainter();
}

const paintings = document.getElementById("paintings-data");
if (paintings) startPlayer(JSON.parse(paintings.textContent));
