// The U-Net, as in fpa/models/unet.py. Maps are { data, channels, size }: channels of size x size.
const GROUPS = 8;
const HEADS = 4;

const newMap = (channels, size) => ({ data: new Float64Array(channels * size * size), channels, size });

function convolve(tensors, name, x, stride = 1, padding = 0) {
  const { data: weight, shape: [outputs, inputs, side] } = tensors[`${name}.weight`];
  const bias = tensors[`${name}.bias`];
  const [source, width] = [x.data, x.size];
  const y = newMap(outputs, Math.floor((width + 2 * padding - side) / stride) + 1);
  const [out, outWidth] = [y.data, y.size];
  for (let o = 0, w = 0; o < outputs; o++) {
    const outStart = o * outWidth * outWidth;
    if (bias) out.fill(bias.data[o], outStart, outStart + outWidth * outWidth);
    for (let i = 0; i < inputs; i++)
      for (let dy = 0; dy < side; dy++)
        for (let dx = 0; dx < side; dx++, w++) {
          const factor = weight[w];
          // Columns whose source is inside of the image.
          const from = Math.max(0, Math.ceil((padding - dx) / stride));
          const to = Math.min(outWidth, Math.floor((width - 1 + padding - dx) / stride) + 1);
          for (let row = 0; row < outWidth; row++) {
            const line = row * stride + dy - padding;
            if (line < 0 || line >= width) continue;
            let at = (i * width + line) * width + dx - padding + from * stride;
            const end = outStart + row * outWidth + to;
            for (let place = end - to + from; place < end; place++, at += stride) out[place] += factor * source[at];
          }
        }
  }
  return y;
}

// A transposed convolution of side 4, stride 2, padding 1: twice the size.
function grow(tensors, name, x) {
  const { data: weight, shape: [inputs, outputs, side] } = tensors[`${name}.weight`];
  const y = newMap(outputs, 2 * x.size);
  const [area, outArea] = [x.size ** 2, y.size ** 2];
  for (let o = 0; o < outputs; o++) y.data.fill(tensors[`${name}.bias`].data[o], o * outArea, (o + 1) * outArea);
  for (let i = 0; i < inputs; i++)
    for (let o = 0; o < outputs; o++)
      for (let dy = 0; dy < side; dy++)
        for (let dx = 0; dx < side; dx++) {
          const w = weight[((i * outputs + o) * side + dy) * side + dx];
          for (let row = 0; row < x.size; row++) {
            const target = 2 * row + dy - 1;
            if (target < 0 || target >= y.size) continue;
            for (let column = 0; column < x.size; column++) {
              const place = 2 * column + dx - 1;
              if (place >= 0 && place < y.size) y.data[o * outArea + target * y.size + place] += w * x.data[i * area + row * x.size + column];
            }
          }
        }
  return y;
}

function scaleChannels(x, gain, shift) {
  const area = x.size ** 2;
  for (let c = 0; c < x.channels; c++) for (let i = c * area; i < (c + 1) * area; i++) x.data[i] = x.data[i] * gain[c] + shift[c];
  return x;
}

function channelNorm(tensors, name, x) {
  const y = { ...x, data: x.data.slice() };
  const area = x.size ** 2;
  for (let i = 0; i < area; i++) standardise(y.data, i, x.channels, area);
  return scaleChannels(y, tensors[`${name}.gain`].data, tensors[`${name}.shift`].data);
}

function add(x, y) {
  return { ...x, data: x.data.map((value, i) => value + y.data[i]) };
}

function concatenate(x, y) {
  const data = new Float64Array(x.data.length + y.data.length);
  data.set(x.data);
  data.set(y.data, x.data.length);
  return { data, channels: x.channels + y.channels, size: x.size };
}

function residualBlock(tensors, name, x) {
  let y = x;
  for (const block of [`${name}.block1`, `${name}.block2`]) {
    y = convolve(tensors, `${block}.0`, y, 1, 1);
    const group = y.data.length / GROUPS;
    for (let g = 0; g < GROUPS; g++) standardise(y.data, g * group, group, 1);
    scaleChannels(y, tensors[`${block}.1.weight`].data, tensors[`${block}.1.bias`].data);
    y.data.forEach((value, i) => (y.data[i] = value * sigmoid(value)));
  }
  return add(y, `${name}.skip.weight` in tensors ? convolve(tensors, `${name}.skip`, x) : x);
}

// x + attention(norm(x)); `read` turns q, k, v of one head (E, positions) into what is read.
function attention(tensors, name, x, read) {
  const qkv = convolve(tensors, `${name}.qkv`, channelNorm(tensors, `${name}.norm`, x));
  const inner = qkv.channels / 3;
  const out = newMap(inner, x.size);
  const block = out.data.length / HEADS;
  for (let head = 0; head < HEADS; head++) {
    const [q, k, v] = [0, 1, 2].map((part) => qkv.data.subarray((part * HEADS + head) * block, (part * HEADS + head + 1) * block));
    read(q, k, v, out.data.subarray(head * block, (head + 1) * block), inner / HEADS, x.size ** 2);
  }
  return convolve(tensors, `${name}.out`, out);
}

function linearRead(q, k, v, out, width, area) {
  for (let p = 0; p < area; p++) softmax(q, p, width, area);
  for (let e = 0; e < width; e++) softmax(k, e * area, area);
  for (let i = 0; i < width; i++)
    for (let e = 0; e < width; e++) {
      let context = 0;
      for (let p = 0; p < area; p++) context += v[i * area + p] * k[e * area + p];
      context /= Math.sqrt(width);
      for (let p = 0; p < area; p++) out[i * area + p] += context * q[e * area + p];
    }
}

function fullRead(q, k, v, out, width, area) {
  const scores = new Float64Array(area);
  const scale = 1 / Math.sqrt(width);
  for (let p = 0; p < area; p++) {
    scores.fill(0);
    for (let e = 0; e < width; e++) for (let other = 0; other < area; other++) scores[other] += scale * q[e * area + p] * k[e * area + other];
    softmax(scores);
    for (let i = 0; i < width; i++) {
      let sum = 0;
      for (let other = 0; other < area; other++) sum += v[i * area + other] * scores[other];
      out[i * area + p] = sum;
    }
  }
}

function unetLevel(tensors, name, x) {
  const y = residualBlock(tensors, `${name}.block2`, residualBlock(tensors, `${name}.block1`, x));
  const read = attention(tensors, `${name}.attention`, y, linearRead);
  return add(y, channelNorm(tensors, `${name}.attention.out_norm`, read));
}

// image (C, D, D) -> image, before its tanh.
function runUNet(tensors, image, channels, size) {
  const has = (name) => `${name}.weight` in tensors;
  const first = convolve(tensors, "first", { data: image, channels, size }, 1, 3);
  const skips = [];
  let x = first;
  for (let i = 0; has(`down.${i}.block1.block1.0`); i++) {
    x = unetLevel(tensors, `down.${i}`, x);
    skips.push(x);
    if (has(`shrink.${i}`)) x = convolve(tensors, `shrink.${i}`, x, 2, 1);
  }
  x = residualBlock(tensors, "middle.0", x);
  x = add(x, attention(tensors, "middle.1", x, fullRead));
  x = residualBlock(tensors, "middle.2", x);
  for (let i = 0; skips.length; i++) {
    x = unetLevel(tensors, `up.${i}`, concatenate(x, skips.pop()));
    if (has(`grow.${i}`)) x = grow(tensors, `grow.${i}`, x);
  }
  return convolve(tensors, "to_image", residualBlock(tensors, "last", concatenate(x, first))).data;
}
