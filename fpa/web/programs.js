// Programs: raw keys, values and rates from a latent, as in fpa/models/programs.py; registries have its names.

// latent -> one input a step.
const INPUTS = {
  v1: (tensors, settings, z) => Array(settings.steps).fill(z),
  v2(tensors, settings, z) {
    const mini = linear(tensors, "inputs.to_mini", z);
    if (settings.mini_tanh) mini.forEach((x, i) => (mini[i] = Math.tanh(x)));
    return pieces(mini, settings.steps).map((piece) => linear(tensors, "inputs.to_input", piece));
  },
  split: (tensors, settings, z) => pieces(z, settings.steps).map((piece) => linear(tensors, "inputs.to_input", piece)),
};

// A vector cut into equal parts.
function pieces(x, count) {
  const size = x.length / count;
  return Array.from({ length: count }, (_, i) => x.subarray(i * size, (i + 1) * size));
}

// latent -> { keys, values } (C, T, D) and rates (C, T, R) before their activations; T counts updates.
function runProgram(tensors, settings, channels, size, z) {
  let inputs = INPUTS[settings.inputs](tensors, settings, z);
  const codes = tensors.position_codes;
  if (codes) inputs = inputs.map((x, t) => Float64Array.from(x, (value, i) => value + codes.data[t * x.length + i]));
  const state = "inputs.to_state.weight" in tensors ? linear(tensors, "inputs.to_state", z) : null;
  let outputs = SEQUENCES[settings.sequence](tensors, settings, inputs, state);
  if (settings.wide_dim) outputs = outputs.map((x) => linear(tensors, "wide.0", x).map((value) => Math.max(value, 0)));
  const { steps, updates } = settings;
  const rateSize = tensors["to_kvb.bias"].data.length / channels / updates - 2 * size;
  const rows = channels * steps * updates;
  const raw = { keys: new Float64Array(rows * size), values: new Float64Array(rows * size), rates: new Float64Array(rows * rateSize) };
  outputs.forEach((output, t) => {
    const kvb = linear(tensors, "to_kvb", output);
    let at = 0;
    // A channel's updates of one step are side by side.
    for (const [name, width] of [["keys", size], ["values", size], ["rates", rateSize]])
      for (let c = 0; c < channels; c++, at += updates * width) raw[name].set(kvb.subarray(at, at + updates * width), (c * steps + t) * updates * width);
  });
  return raw;
}
