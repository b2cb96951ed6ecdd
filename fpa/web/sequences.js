// Sequence networks, as in fpa/models/programs.py; the registry has its names.

// Inputs of all steps and the initial state (or null) -> outputs of all steps.
const SEQUENCES = {
  lstm(tensors, settings, inputs, state) {
    const size = settings.hidden_size;
    for (let layer = 0; layer < settings.layers; layer++) {
      const start = state ? pieces(state, 2 * settings.layers) : null;
      let [h, c] = [layer, settings.layers + layer].map((part) => (start ? start[part] : new Float64Array(size)));
      inputs = inputs.map((x) => {
        const gates = lstmGates(tensors, layer, x, h);
        [h, c] = [new Float64Array(size), c.slice()];
        for (let i = 0; i < size; i++) {
          c[i] = sigmoid(gates[size + i]) * c[i] + sigmoid(gates[i]) * Math.tanh(gates[2 * size + i]);
          h[i] = sigmoid(gates[3 * size + i]) * Math.tanh(c[i]);
        }
        return h;
      });
    }
    return inputs;
  },

  transformer(tensors, settings, inputs) {
    let x = toWidth(tensors, inputs);
    for (let layer = 0; layer < settings.layers; layer++) {
      x = selfAttention(tensors, `sequence.layers.${2 * layer}`, settings.heads, x);
      x = feedForward(tensors, `sequence.layers.${2 * layer + 1}`, x);
    }
    return x;
  },

  rfwp(tensors, settings, inputs, state) {
    let x = toWidth(tensors, inputs);
    for (let layer = 0; layer < settings.layers; layer++) {
      const start = state ? pieces(state, settings.layers)[layer] : new Float64Array(settings.hidden_size);
      x = recurrentFastWeights(tensors, `sequence.layers.${layer}`, settings.heads, x, start);
      x = feedForward(tensors, `sequence.feedforward.${layer}`, x);
    }
    return x;
  },
};

// Input, forget, cell and output gates before their activations, in torch's order.
function lstmGates(tensors, layer, x, h) {
  const named = (kind, from) => tensors[`sequence.lstm.${kind}_${from}_l${layer}`].data;
  const [ih, hh, biasIh, biasHh] = [named("weight", "ih"), named("weight", "hh"), named("bias", "ih"), named("bias", "hh")];
  const gates = new Float64Array(biasIh.length);
  for (let i = 0; i < gates.length; i++) {
    let sum = biasIh[i] + biasHh[i];
    for (let j = 0, at = i * x.length; j < x.length; j++) sum += ih[at + j] * x[j];
    for (let j = 0, at = i * h.length; j < h.length; j++) sum += hh[at + j] * h[j];
    gates[i] = sum;
  }
  return gates;
}

const plus = (x, y) => x.map((value, i) => value + y[i]);

const toWidth = (tensors, inputs) => ("sequence.to_width.weight" in tensors ? inputs.map((x) => linear(tensors, "sequence.to_width", x)) : inputs);

function layerNorm(tensors, name, x) {
  const y = Float64Array.from(x);
  standardise(y, 0, y.length, 1);
  return y.map((value, i) => value * tensors[`${name}.weight`].data[i] + tensors[`${name}.bias`].data[i]);
}

// Each step by itself.
function feedForward(tensors, name, steps) {
  return steps.map((x) => {
    const inner = linear(tensors, `${name}.layers.0`, layerNorm(tensors, `${name}.norm`, x));
    return plus(linear(tensors, `${name}.layers.2`, inner.map((value) => Math.max(value, 0))), x);
  });
}

// Every step attends to all steps; scores are divided by the root of the whole width.
function selfAttention(tensors, name, heads, steps) {
  const width = steps[0].length;
  const projected = steps.map((x) => pieces(linear(tensors, `${name}.projection`, layerNorm(tensors, `${name}.norm`, x)), heads).map((part) => pieces(part, 3)));
  return steps.map((x, t) => {
    const read = new Float64Array(width);
    for (let head = 0; head < heads; head++) {
      const [query] = projected[t][head];
      const scores = softmax(Float64Array.from(projected, (other) => dot(query, other[head][1]) / Math.sqrt(width)));
      const out = pieces(read, heads)[head];
      projected.forEach((other, s) => other[head][2].forEach((value, i) => (out[i] += scores[s] * value)));
    }
    return plus(linear(tensors, `${name}.out`, read), x);
  });
}

// Fast weights F of each head, which the delta rule programs and which read their own last output h.
function recurrentFastWeights(tensors, name, heads, steps, start) {
  const size = start.length / heads;
  const recurrent = ["R_q", "R_k", "R_v", "r_b"].map((part) => tensors[`${name}.${part}`].data);
  const F = Array.from({ length: heads }, () => new Float64Array(size * size));
  let h = start;
  return steps.map((x) => {
    const projected = pieces(linear(tensors, `${name}.projection`, layerNorm(tensors, `${name}.norm`, x)), heads);
    const output = new Float64Array(start.length);
    for (let head = 0; head < heads; head++) {
      const last = pieces(h, heads)[head].map(Math.tanh);
      const [q, k, v, b] = recurrent.map((weights, part) => {
        const width = part < 3 ? size : 1;
        const y = projected[head].slice(part * size, part * size + width);
        for (let e = 0; e < size; e++) for (let f = 0; f < width; f++) y[f] += last[e] * weights[(head * size + e) * width + f];
        return y;
      });
      softmax(q);
      softmax(k);
      const matrix = F[head];
      for (let f = 0; f < size; f++) {
        let stored = 0;
        for (let e = 0; e < size; e++) stored += matrix[e * size + f] * k[e];
        for (let e = 0; e < size; e++) matrix[e * size + f] += k[e] * sigmoid(b[0]) * (v[f] - stored);
        for (let e = 0; e < size; e++) output[head * size + f] += matrix[e * size + f] * q[e];
      }
    }
    h = output;
    return plus(linear(tensors, `${name}.out`, h), x);
  });
}
