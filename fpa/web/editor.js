// The strip of an update's keys or values, edited where it is drawn. Along the strip are the entries, one row or
// column for each channel. A drag across it changes the entry under the pointer; a drag along it draws that
// entry's number over its neighbours. The arrow keys do the same: along the strip they choose an entry,
// across it they change it.
class StripEditor {
  // upright: entries go down, and numbers grow to the right; else they go right, and numbers grow upwards.
  // marker shows the chosen entry, readout its number. onEdit(entries, value): entries count through all
  // channels, from 0.
  constructor({ canvas, marker, readout, upright, onEdit }) {
    Object.assign(this, { canvas, marker, readout, upright, onEdit, entry: 0, drag: null });
    canvas.addEventListener("focus", () => this.on && this.mark());
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.drag && this.move(event));
    canvas.addEventListener("lostpointercapture", () => (this.drag = null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Whether the strip can be edited now, or is a picture.
  enable(on) {
    const { canvas, upright, marker } = this;
    this.on = on;
    marker.hidden = !on;
    canvas.setAttribute("role", on ? "slider" : "img");
    const described = { tabindex: 0, "aria-orientation": upright ? "horizontal" : "vertical" };
    for (const [name, value] of Object.entries(described)) on ? canvas.setAttribute(name, value) : canvas.removeAttribute(name);
    if (!on) for (const name of ["valuemin", "valuemax", "valuenow", "valuetext"]) canvas.removeAttribute(`aria-${name}`);
  }

  // rows: one vector for each channel; low, high: what an entry can become; place(entry): its name in words.
  show(rows, [low, high], name, place) {
    const vector = rows.flatMap((row) => [...row]);
    Object.assign(this, { vector, name, place, size: rows[0].length });
    [this.low, this.high] = [Math.min(low, ...vector), Math.max(high, ...vector)];
    this.entry = Math.min(this.entry, vector.length - 1);
    this.mark();
  }

  mark() {
    const { canvas, marker, vector, size, entry, upright } = this;
    const [across, along] = [vector.length / size, size].map((count) => 100 / count);
    const [lane, index] = [Math.floor(entry / size) * across, (entry % size) * along];
    const [left, top, width, height] = upright ? [lane, index, across, along] : [index, lane, along, across];
    for (const [side, share] of Object.entries({ left, top, width, height })) marker.style[side] = `${share}%`;
    const valuetext = `${this.place(entry)}: ${vector[entry].toFixed(3)}`;
    if (document.activeElement === canvas) this.readout.textContent = `${this.name}, ${valuetext}`;
    const described = { label: this.name, valuemin: this.low, valuemax: this.high, valuenow: vector[entry], valuetext };
    for (const [name, value] of Object.entries(described)) canvas.setAttribute(`aria-${name}`, value);
  }

  // Where a pointer is: [along, across] as shares of the strip.
  shares({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    return this.upright ? [y, x] : [x, y];
  }

  begin(event) {
    if (!this.on || this.drag || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    const count = this.vector.length / this.size;
    const [along, across] = this.shares(event);
    const cell = (share, length) => Math.min(Math.max(Math.floor(share * length), 0), length - 1);
    const first = cell(across, count) * this.size;
    this.entry = first + cell(along, this.size);
    this.drag = { x: event.clientX, y: event.clientY, value: this.vector[this.entry], cell: (share) => first + cell(share, this.size), draws: null };
    this.mark();
  }

  move(event) {
    const { drag, upright } = this;
    const [right, up] = [event.clientX - drag.x, drag.y - event.clientY];
    const [along, across] = upright ? [-up, right] : [right, up];
    // A tap only chooses the entry.
    if (drag.draws === null && Math.hypot(along, across) < 5) return;
    drag.draws ??= Math.abs(along) > Math.abs(across);
    const from = this.entry;
    if (drag.draws) this.entry = drag.cell(this.shares(event)[0]);
    const [low, high] = [Math.min(from, this.entry), Math.max(from, this.entry)];
    const entries = Array.from({ length: high - low + 1 }, (_, i) => low + i);
    this.edit(entries, this.level(across));
  }

  // The number after a drag of so many pixels across the strip: either end of the range is 120 away, or as far as
  // the window reaches.
  level(across) {
    const { drag, upright, low, high } = this;
    const room = upright ? (across > 0 ? innerWidth - drag.x : drag.x) : across > 0 ? drag.y : innerHeight - drag.y;
    const share = Math.min(Math.abs(across) / Math.min(Math.max(room - 8, 20), 120), 1);
    return drag.value + share * ((across > 0 ? high : low) - drag.value);
  }

  edit(entries, value) {
    this.onEdit(entries, Math.min(Math.max(value, this.low), this.high));
  }

  key(event) {
    if (!this.on) return;
    const { size, entry, vector, upright } = this;
    const index = entry % size;
    const turn = upright ? { ArrowUp: -1, ArrowDown: 1 } : { ArrowLeft: -1, ArrowRight: 1 };
    const along = { ...turn, Home: -index, End: size - 1 - index }[event.key];
    const grow = upright ? { ArrowRight: 1, ArrowLeft: -1 } : { ArrowUp: 1, ArrowDown: -1 };
    const up = { ...grow, PageUp: 4, PageDown: -4 }[event.key];
    if (along === undefined && up === undefined) return;
    event.preventDefault();
    this.entry = Math.min(Math.max(entry + (along || 0), 0), vector.length - 1);
    this.mark();
    if (up) this.edit([entry], vector[entry] + (up * (this.high - this.low)) / 40);
  }
}
