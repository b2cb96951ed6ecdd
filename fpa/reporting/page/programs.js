// Programs: raw keys, values and rates from a latent, as in fpa/models/programs. Registries have its names.

// latent -> one input a step.
const INPUTS = {
  v1: (tensors, settings, z) => Array(settings.steps).fill(z),
  v2(tensors, settings, z) {
    const mini = linear(tensors, "inputs.to_mini", z);
    if (settings.mini_tanh) mini.forEach((x, i) => (mini[i] = Math.tanh(x)));
    const size = settings.mini_latent_dim;
    return Array.from({ length: settings.steps }, (_, t) => linear(tensors, "inputs.to_input", mini.subarray(t * size, (t + 1) * size)));
  },
};

// Inputs of all steps and the initial state (or null) -> outputs of all steps.
const SEQUENCES = {
  lstm(tensors, settings, inputs, state) {
    const size = settings.hidden_size;
    for (let layer = 0; layer < settings.layers; layer++) {
      const part = (which) => (state ? state.slice((which * settings.layers + layer) * size, (which * settings.layers + layer + 1) * size) : new Float64Array(size));
      let [h, c] = [part(0), part(1)];
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

// latent -> { keys, values } (C, T, D) and rates (C, T, R) before their activations.
function runProgram(tensors, settings, channels, size, z) {
  let inputs = INPUTS[settings.inputs](tensors, settings, z);
  const codes = tensors.position_codes;
  if (codes) inputs = inputs.map((x, t) => Float64Array.from(x, (value, i) => value + codes.data[t * x.length + i]));
  const state = "inputs.to_state.weight" in tensors ? linear(tensors, "inputs.to_state", z) : null;
  let outputs = SEQUENCES[settings.sequence](tensors, settings, inputs, state);
  if (settings.wide_dim) outputs = outputs.map((x) => linear(tensors, "wide.0", x).map((value) => Math.max(value, 0)));
  const steps = settings.steps;
  const rateSize = tensors["to_kvb.bias"].data.length / channels - 2 * size;
  const raw = { keys: new Float64Array(channels * steps * size), values: new Float64Array(channels * steps * size), rates: new Float64Array(channels * steps * rateSize) };
  outputs.forEach((output, t) => {
    const kvb = linear(tensors, "to_kvb", output);
    let at = 0;
    for (const [name, width] of [["keys", size], ["values", size], ["rates", rateSize]])
      for (let c = 0; c < channels; c++, at += width) raw[name].set(kvb.subarray(at, at + width), (c * steps + t) * width);
  });
  return raw;
}
