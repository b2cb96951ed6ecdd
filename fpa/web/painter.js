// A painter that paints here: its program and rule, changes to what the program made, and its U-Net.

// What a visitor may change between the program and the matrix. Updates and entries count from 0.
const unchanged = (rule) => ({
  rule,
  otherKeys: false,
  otherValues: false,
  allRates: 1,
  rates: new Map(), // update -> factor
  times: new Map(), // update -> how often it is written; 0 leaves it out
  keys: new Map(), // place in (C, T, D) -> number
  values: new Map(),
});

function isChanged(changes, rule) {
  const { rule: chosen, otherKeys, otherValues, allRates, ...maps } = changes;
  return chosen !== rule || otherKeys || otherValues || allRates !== 1 || Object.values(maps).some((map) => map.size > 0);
}

class LivePainter {
  constructor(about, tensors) {
    Object.assign(this, { settings: about.painter, channels: about.channels, size: about.image_size });
    // T, the number of updates.
    this.updates = this.settings.steps * this.settings.updates;
    const painter = about.refined ? below(tensors, "painter.") : tensors;
    this.program = below(painter, "program.");
    this.initial = painter.initial ? painter.initial.data : null;
    this.unet = about.refined ? below(tensors, "unet.") : null;
    this.residual = about.residual;
    const length = this.settings.latent_dim;
    const { data, shape } = tensors.latents;
    this.latents = Array.from({ length: shape[0] }, (_, i) => Float64Array.from(data.subarray(i * length, (i + 1) * length)));
  }

  // Keys and values (C, T, D), rates (C, T, R) and decays (T or null) that the program makes of a latent.
  sequence(z) {
    const { settings, channels, size } = this;
    return activate(runProgram(this.program, settings, channels, size, Float64Array.from(z)), settings, channels, size);
  }

  // The painting of a sequence, with changes; `other` is the sequence whose keys or values they ask for.
  paint(sequence, changes = unchanged(this.settings.rule), other = sequence) {
    const { settings, channels, size, initial, updates } = this;
    const rule = RULES[changes.rule];
    const keys = (changes.otherKeys ? other : sequence).keys.slice();
    const values = (changes.otherValues ? other : sequence).values.slice();
    for (const [place, value] of changes.keys) keys[place] = value;
    for (const [place, value] of changes.values) values[place] = value;
    const rates = ratesOf(rule, sequence.rates, channels, updates, initial, settings);
    const width = rates.length / channels / updates;
    const times = (update) => changes.times.get(update) ?? 1;
    const factor = (update) => (times(update) ? changes.allRates * (changes.rates.get(update) ?? 1) : 0);
    // An update that is left out keeps its place, with a rate of 0; nothing fades then.
    const order = Array.from({ length: updates }, (_, update) => Array(times(update) || 1).fill(update)).flat();
    const rows = (array, length, scale = () => 1) => {
      const out = new Float64Array(channels * order.length * length);
      for (let c = 0; c < channels; c++)
        order.forEach((update, t) => {
          const source = array.subarray((c * updates + update) * length, (c * updates + update + 1) * length);
          out.set(source.map((x) => x * scale(update)), (c * order.length + t) * length);
        });
      return out;
    };
    const written = {
      keys: rows(keys, size),
      values: rows(values, size),
      rates: rows(rates, width, factor),
      decays: sequence.decays && order.map((update) => (times(update) ? sequence.decays[update] : 1)),
      ofStep: order.map((update) => Math.floor(update / settings.updates)),
    };
    const means = order.map((_, t) => {
      let sum = 0;
      for (let c = 0; c < channels; c++) for (let i = 0; i < width; i++) sum += written.rates[(c * order.length + t) * width + i];
      return sum / channels / width;
    });
    return new Painting({
      ...{ channels, size, steps: order.length, tanh: settings.tanh_image, initial, order, perStep: settings.updates },
      ...{ values: written.values, keys: written.keys, rates: Float64Array.from(means) },
      ...write(rule, written, channels, size, initial, settings),
    });
  }

  // The finished image after the U-Net, (C, D, D).
  refine(painting) {
    const image = runUNet(this.unet, painting.finished(), this.channels, this.size);
    if (this.residual) painting.matrix().forEach((value, i) => (image[i] += value));
    return this.settings.tanh_image ? image.map(Math.tanh) : image;
  }
}
