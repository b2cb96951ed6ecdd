// A painting: the factors of its updates, and the pictures and numbers that follow from them, as in
// fpa/evaluation/trace.py. Arrays are (C, T, D), matrices (C, D, D).
class Painting {
  constructor({ channels, steps, size, tanh, left, right, keys, values, rates, initial, refined, order, perStep = 1 }) {
    Object.assign(this, { channels, steps, size, tanh, left, right, values, rates, initial, refined, perStep });
    // What is counted: steps, or the updates of which a step has several.
    this.unit = perStep > 1 ? "update" : "step";
    // Keys as the program made them, where they are known, and which of the program's updates each one is.
    this.keys = keys || right;
    this.order = order || Array.from({ length: steps }, (_, step) => step);
    this.partials = [];
    const sum = new Float64Array(channels * size * size);
    if (initial) sum.set(initial);
    for (let step = 0; step < steps; step++) {
      const update = this.update(step);
      for (let i = 0; i < sum.length; i++) sum[i] += update[i];
      this.partials.push(sum.slice());
    }
    this.norm = norm(sum);
  }

  // left_t right_t^T of every channel.
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

  // W_T, the finished image before its tanh.
  matrix() {
    return this.partials[this.steps - 1];
  }

  // The finished image.
  finished() {
    return this.tanh ? this.matrix().map(Math.tanh) : this.matrix();
  }

  // Brought to the norm of the finished image, through its tanh, to bytes.
  pixels(matrix) {
    const factor = this.norm / Math.max(norm(matrix), 1e-12);
    return toBytes(matrix.map((x) => (this.tanh ? Math.tanh(x * factor) : x * factor)));
  }

  // Singular values of W_t over the largest of W_T, with both ranks; means over channels.
  spectrum(step) {
    const { channels, size } = this;
    const found = { values: new Float64Array(size), rank: 0, effectiveRank: 0 };
    const ofChannel = (at, c) => singularValues(this.partials[at].subarray(c * size * size, (c + 1) * size * size), size);
    for (let c = 0; c < channels; c++) {
      const values = ofChannel(step, c);
      this.largest ||= [];
      const largest = (this.largest[c] ||= Math.max(ofChannel(this.steps - 1, c)[0], 1e-12));
      const total = Math.max(values.reduce((sum, x) => sum + x), 1e-12);
      const entropy = values.reduce((sum, x) => (x > 0 ? sum - (x / total) * Math.log(x / total) : sum), 0);
      // The precision of float32.
      const least = size * 2 ** -23 * Math.max(values[0], 1e-12);
      found.rank += values.filter((x) => x > least).length / channels;
      found.effectiveRank += Math.exp(entropy) / channels;
      values.forEach((x, i) => (found.values[i] += x / largest / channels));
    }
    return found;
  }
}

function norm(matrix) {
  let sum = 0;
  for (const x of matrix) sum += x * x;
  return Math.sqrt(sum);
}

// Numbers in [0, 1] to bytes, rounded as samples are.
const toBytes = (image) => Uint8Array.from(image, (x) => Math.floor(Math.min(Math.max(x, 0), 1) * 255 + 0.5));

// Singular values of a size x size matrix, largest first, by one-sided Jacobi rotations (Hestenes, 1958).
function singularValues(matrix, size) {
  const columns = Array.from({ length: size }, (_, j) => Float64Array.from({ length: size }, (_, i) => matrix[i * size + j]));
  const negligible = 1e-16 * norm(matrix) ** 2;
  for (let sweep = 0, turned = true; turned && sweep < 40; sweep++) {
    turned = false;
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        const [a, b] = [columns[p], columns[q]];
        const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
        if (Math.abs(ab) <= Math.max(negligible, 1e-12 * Math.sqrt(aa * bb))) continue;
        turned = true;
        const zeta = (bb - aa) / (2 * ab);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const cosine = 1 / Math.hypot(1, tangent);
        for (let i = 0; i < size; i++) [a[i], b[i]] = [cosine * (a[i] - tangent * b[i]), cosine * (tangent * a[i] + b[i])];
      }
  }
  return Float64Array.from(columns, norm).sort().reverse();
}
