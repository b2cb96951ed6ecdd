// Pictures on canvases.

// bytes (C, H, W), grey or RGB.
function show(canvas, bytes, channels, width, height) {
  canvas.width = width;
  canvas.height = height;
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = bytes[(channels === 1 ? 0 : c) * width * height + i];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const POSITIVE = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];
const SIGNED = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];

// A colour (r, g, b) between anchors, for x in [0, 1].
function colour(anchors, x) {
  const place = Math.min(Math.max(x, 0), 1) * (anchors.length - 1);
  const low = Math.min(Math.floor(place), anchors.length - 2);
  return anchors[low].map((a, c) => a + (place - low) * (anchors[low + 1][c] - a));
}

// Shades for numbers up to the largest of an array: of one sign, or of both.
function shades(array, signed) {
  const largest = array.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-12);
  return signed ? (x) => colour(SIGNED, 0.5 + x / largest / 2) : (x) => colour(POSITIVE, x / largest);
}

// One step's vectors (C, D) as a heat strip: along the columns of the image, or along its rows.
function strip(canvas, painting, vectors, step, shade, upright) {
  const { channels, steps, size } = painting;
  const [width, height] = upright ? [channels, size] : [size, channels];
  const bytes = new Uint8Array(3 * width * height);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < size; i++) {
      const place = upright ? i * width + c : c * width + i;
      shade(vectors[(c * steps + step) * size + i]).forEach((byte, k) => (bytes[k * width * height + place] = byte));
    }
  show(canvas, bytes, 3, width, height);
}
