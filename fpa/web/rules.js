// Learning rules, as in fpa/models/learning_rules.py; the registry has its names.
//
// `update` gets the matrix W that the rule reads (D x D, rows by values), a key k, a value v and the rates b
// (one, or one a row), and fills in both factors of the update. `firstRateOne`: as published, a painter
// without W_0 has no first rate. `atOnce`: all updates of a step read the matrix before the step. `decays`:
// before each update, what was painted so far fades. `chosenFor`: whether a painter with these settings can
// be given this rule instead of its own.
const RULES = {
  delta: {
    label: "delta",
    firstRateOne: true,
    chosenFor: ({ updates }) => updates === 1,
    update: deltaUpdate,
  },
  additive: {
    label: "additive",
    withoutRates: true,
    chosenFor: () => true,
    update(W, k, v, b, left, right) {
      left.forEach((_, i) => (left[i] = b[i % b.length] * v[i]));
      right.set(k);
    },
  },
  oja: {
    label: "Oja",
    note: "Oja’s rule first takes from the key what the image already gives for the value",
    chosenFor: () => true,
    update(W, k, v, b, left, right, settings) {
      const size = k.length;
      right.set(k);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) right[j] -= W[i * size + j] * v[i];
      if (settings.softmax_keys) softmax(right);
      left.forEach((_, i) => (left[i] = b[i % b.length] * v[i]));
    },
  },
  gated_delta: {
    label: "gated delta",
    firstRateOne: true,
    decays: true,
    chosenFor: () => false,
    update: deltaUpdate,
  },
  delta_product: {
    label: "DeltaProduct (in turn)",
    firstRateOne: true,
    chosenFor: ({ updates }) => updates > 1,
    update: deltaUpdate,
  },
  rank_r_delta: {
    label: "rank-r delta (at once)",
    firstRateOne: true,
    atOnce: true,
    chosenFor: ({ updates }) => updates > 1,
    update: deltaUpdate,
  },
};

function deltaUpdate(W, k, v, b, left, right) {
  const size = k.length;
  for (let i = 0; i < size; i++) {
    let stored = 0;
    for (let j = 0; j < size; j++) stored += W[i * size + j] * k[j];
    left[i] = b[i % b.length] * (v[i] - stored);
  }
  right.set(k);
}

// OFFSET of fpa/models/learning_rules.py.
const DECAY_OFFSET = 4;

// A program's output, for all C channels, through its activations: keys, values (C, T, D), rates (C, T, R) and,
// of a rule with decays, one for each update (T).
function activate(raw, settings, channels, size) {
  const [keys, values] = [raw.keys.slice(), raw.values.slice()];
  if (settings.softmax_keys) for (let at = 0; at < keys.length; at += size) softmax(keys, at, size);
  if (settings.tanh_values) values.forEach((x, i) => (values[i] = Math.tanh(x)));
  let [rates, decays] = [raw.rates.slice(), null];
  if (RULES[settings.rule].decays) {
    // Rate and decay side by side; the mean of the channels' decays is that of all.
    const steps = rates.length / channels / 2;
    const mean = (t) => Array.from({ length: channels }, (_, c) => rates[2 * (c * steps + t) + 1] / channels).reduce((sum, x) => sum + x);
    decays = Float64Array.from({ length: steps }, (_, t) => sigmoid(mean(t) + DECAY_OFFSET));
    rates = rates.filter((_, i) => i % 2 === 0);
  }
  if (settings.sigmoid_rates) rates.forEach((x, i) => (rates[i] = sigmoid(x)));
  return { keys, values, rates, decays };
}

// Rates (C, T, R) as a rule uses them; 1 where the rule or the painter has none.
function ratesOf(rule, rates, channels, steps, initial, settings) {
  if (rule.withoutRates || !rates.length) return new Float64Array(channels * steps).fill(1);
  const used = rates.slice();
  const block = used.length / channels;
  const first = (block / steps) * (rule.atOnce ? settings.updates : 1);
  if (rule.firstRateOne && !initial) for (let c = 0; c < channels; c++) used.fill(1, c * block, c * block + first);
  return used;
}

// Both factors (C, T, D) of every update, as they are left in the finished matrix, that a rule makes of keys,
// values (C, T, D), rates (C, T, R) and decays (T); `ofStep` (T) has the step of each update.
function write(rule, { keys, values, rates, decays, ofStep }, channels, size, initial, settings) {
  const steps = keys.length / channels / size;
  const width = rates.length / channels / steps;
  const [left, right] = [new Float64Array(keys.length), new Float64Array(keys.length)];
  for (let c = 0; c < channels; c++) {
    const start = new Float64Array(size * size);
    if (initial) start.set(initial.subarray(c * start.length, (c + 1) * start.length));
    const W = start.slice();
    const row = (array, t, length = size) => array.subarray((c * steps + t) * length, (c * steps + t + 1) * length);
    let read = W;
    for (let t = 0; t < steps; t++) {
      const [u, r] = [row(left, t), row(right, t)];
      if (rule.decays) for (let i = 0; i < W.length; i++) W[i] = start[i] + decays[t] * (W[i] - start[i]);
      if (rule.atOnce && (t === 0 || ofStep[t] !== ofStep[t - 1])) read = W.slice();
      rule.update(read, row(keys, t), row(values, t), row(rates, t, width), u, r, settings);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) W[i * size + j] += u[i] * r[j];
    }
    for (let t = steps - 1, kept = 1; rule.decays && t >= 0; kept *= decays[t--]) row(left, t).forEach((x, i, u) => (u[i] = x * kept));
  }
  return { left, right };
}
