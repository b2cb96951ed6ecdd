// Weights: a safetensors file in base64, as tensors { shape, data } by name.
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

function readSafetensors(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    const bytes = buffer.slice(...data_offsets.map((offset) => 8 + size + offset));
    tensors[name] = { shape, data: dtype === "F16" ? fromHalf(new Uint16Array(bytes)) : new Float32Array(bytes) };
  }
  return tensors;
}

// float16 (IEEE 754 binary16), given by its bits.
function fromHalf(bits) {
  return Float32Array.from(bits, (half) => {
    const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
}

// The tensors whose names begin with a prefix, without it.
function below(tensors, prefix) {
  const inside = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(inside.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

// W x + b; `name` without .weight and .bias.
function linear(tensors, name, x) {
  const { data, shape: [outputs, inputs] } = tensors[`${name}.weight`];
  const bias = tensors[`${name}.bias`];
  const y = new Float64Array(outputs);
  for (let i = 0; i < outputs; i++) {
    let sum = bias ? bias.data[i] : 0;
    for (let j = 0, at = i * inputs; j < inputs; j++) sum += data[at + j] * x[j];
    y[i] = sum;
  }
  return y;
}

function dot(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

// Mean 0 and variance 1 of data[start], data[start + stride], ..., in place; as torch's norms, with 1e-5.
function standardise(data, start, count, stride) {
  let [mean, variance] = [0, 0];
  for (let n = 0, i = start; n < count; n++, i += stride) mean += data[i] / count;
  for (let n = 0, i = start; n < count; n++, i += stride) variance += (data[i] - mean) ** 2 / count;
  const scale = 1 / Math.sqrt(variance + 1e-5);
  for (let n = 0, i = start; n < count; n++, i += stride) data[i] = (data[i] - mean) * scale;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// In place, of x[start], x[start + stride], ..., `count` entries.
function softmax(x, start = 0, count = x.length, stride = 1) {
  const end = start + count * stride;
  let [largest, sum] = [-Infinity, 0];
  for (let i = start; i < end; i += stride) largest = Math.max(largest, x[i]);
  for (let i = start; i < end; i += stride) sum += x[i] = Math.exp(x[i] - largest);
  for (let i = start; i < end; i += stride) x[i] /= sum;
  return x;
}
