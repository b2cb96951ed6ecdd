// A vector as bars that are drawn by hand: by mouse or finger, or with the arrow keys.
class VectorEditor {
  constructor(svg, onEdit) {
    Object.assign(this, { svg, onEdit, entry: 0, vector: [] });
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      this.drawAt(event);
    });
    svg.addEventListener("pointermove", (event) => svg.hasPointerCapture(event.pointerId) && this.drawAt(event));
    svg.addEventListener("keydown", (event) => {
      const along = { ArrowLeft: -1, ArrowRight: 1, Home: -this.vector.length, End: this.vector.length }[event.key];
      const up = { ArrowUp: 1, ArrowDown: -1, PageUp: 4, PageDown: -4 }[event.key];
      if (along === undefined && up === undefined) return;
      event.preventDefault();
      this.entry = Math.min(Math.max(this.entry + (along || 0), 0), this.vector.length - 1);
      if (up) this.edit(this.vector[this.entry] + (up * (this.high - this.low)) / 40);
      else this.draw();
    });
  }

  drawAt(event) {
    const box = this.svg.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.vector.length);
    this.entry = Math.min(Math.max(place, 0), this.vector.length - 1);
    this.edit(this.high - ((event.clientY - box.top) / box.height) * (this.high - this.low));
  }

  edit(value) {
    this.onEdit(this.entry, Math.min(Math.max(value, this.low), this.high));
  }

  // name: what the vector is, in words.
  show(vector, low, high, name) {
    Object.assign(this, { vector, low, high });
    this.entry = Math.min(this.entry, vector.length - 1);
    this.svg.setAttribute("aria-label", name);
    this.draw();
  }

  draw() {
    const { svg, vector, low, high, entry } = this;
    const height = (value) => (high - value) / (high - low);
    svg.setAttribute("viewBox", `0 0 ${vector.length} 1`);
    const bars = Array.from(vector, (value, i) => {
      const [top, bottom] = [Math.max(value, 0), Math.min(value, 0)].map((x) => height(Math.min(Math.max(x, low), high)));
      return `<rect x="${i + 0.1}" y="${top}" width="0.8" height="${bottom - top}"${i === entry ? ' class="chosen"' : ""}/>`;
    });
    const line = (x1, y1, x2, y2) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
    svg.innerHTML = bars.join("") + line(0, height(0), vector.length, height(0)) + line(entry + 0.5, 0, entry + 0.5, 1);
    const described = { valuemin: low, valuemax: high, valuenow: vector[entry], valuetext: `entry ${entry + 1} of ${vector.length}: ${vector[entry].toFixed(3)}` };
    for (const [name, value] of Object.entries(described)) svg.setAttribute(`aria-${name}`, value);
  }
}
