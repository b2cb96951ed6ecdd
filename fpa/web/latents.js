// Latents: numbered ones, the same in every browser, and walks between two.

// Standard normal numbers from a seed: a 32-bit xorshift generator (Marsaglia, 2003), then the transform
// of Box and Muller. The first numbers of neighbouring seeds are alike, and are thrown away.
function numberedLatent(number, length) {
  let state = (Math.imul(number, 2654435761) ^ 0x9e3779b9) | 1;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < 32; i++) uniform();
  return Float64Array.from({ length }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

// Spherical interpolation, as in fpa/evaluation/run_artifacts.py.
function slerp(start, end, share) {
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  let [first, second] = [1 - share, share];
  if (Math.sin(angle) > 1e-6) [first, second] = [first, second].map((part) => Math.sin(part * angle) / Math.sin(angle));
  return start.map((value, i) => first * value + second * end[i]);
}
