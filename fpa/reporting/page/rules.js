// Learning rules, as in fpa/models/learning_rules; the registry has its names.
//
// `update` gets the matrix W of one channel (D x D, rows by values), a key k, a value v and the rates b
// (one, or one a row), and fills in both factors of the update. `firstRateOne`: as published, a painter
// without W_0 has no first rate.
const RULES = {
  delta: {
    label: "delta",
    firstRateOne: true,
    update(W, k, v, b, left, right) {
      const size = k.length;
      for (let i = 0; i < size; i++) {
        let stored = 0;
        for (let j = 0; j < size; j++) stored += W[i * size + j] * k[j];
        left[i] = b[i % b.length] * (v[i] - stored);
      }
      right.set(k);
    },
  },
  additive: {
    label: "additive",
    withoutRates: true,
    update(W, k, v, b, left, right) {
      left.forEach((_, i) => (left[i] = b[i % b.length] * v[i]));
      right.set(k);
    },
  },
  oja: {
    label: "Oja",
    update(W, k, v, b, left, right, settings) {
      const size = k.length;
      right.set(k);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) right[j] -= W[i * size + j] * v[i];
      if (settings.softmax_keys) softmax(right);
      left.forEach((_, i) => (left[i] = b[i % b.length] * v[i]));
    },
  },
};

// A program's output through the activations that all rules share.
function activate(raw, settings, size) {
  const [keys, values, rates] = [raw.keys.slice(), raw.values.slice(), raw.rates.slice()];
  if (settings.softmax_keys) for (let at = 0; at < keys.length; at += size) softmax(keys, at, size);
  if (settings.tanh_values) values.forEach((x, i) => (values[i] = Math.tanh(x)));
  if (settings.sigmoid_rates) rates.forEach((x, i) => (rates[i] = sigmoid(x)));
  return { keys, values, rates };
}

// Rates (C, T, R) as a rule uses them; 1 where the rule or the painter has none.
function ratesOf(rule, rates, channels, steps, initial) {
  if (rule.withoutRates || !rates.length) return new Float64Array(channels * steps).fill(1);
  const used = rates.slice();
  const block = used.length / channels;
  if (rule.firstRateOne && !initial) for (let c = 0; c < channels; c++) used.fill(1, c * block, c * block + block / steps);
  return used;
}

// Both factors (C, T, D) of every update that a rule makes of keys, values (C, T, D) and rates (C, T, R).
function write(rule, { keys, values, rates }, channels, size, initial, settings) {
  const steps = keys.length / channels / size;
  const width = rates.length / channels / steps;
  const [left, right] = [new Float64Array(keys.length), new Float64Array(keys.length)];
  for (let c = 0; c < channels; c++) {
    const W = new Float64Array(size * size);
    if (initial) W.set(initial.subarray(c * W.length, (c + 1) * W.length));
    for (let step = c * steps; step < (c + 1) * steps; step++) {
      const row = (array, length = size) => array.subarray(step * length, (step + 1) * length);
      const [u, r] = [row(left), row(right)];
      rule.update(W, row(keys), row(values), row(rates, width), u, r, settings);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) W[i * size + j] += u[i] * r[j];
    }
  }
  return { left, right };
}
