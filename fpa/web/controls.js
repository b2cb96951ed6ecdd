// The controls of a painter that paints here: its latent, and changes to what it paints.
const SLIDERS = 8;
const COLOURS = ["red", "green", "blue"];

class Controls {
  // onPainting(painting, title, untouched) gets every new painting, and the same one without changes.
  constructor($, onPainting) {
    Object.assign(this, { $, onPainting, number: 0, due: null });
    const on = (id, event, action) => $(id).addEventListener(event, action);
    const change = (id, event, set) => on(id, event, () => (set($(id)), this.update(false)));
    on("new-latent", "click", () => this.begin(...this.another()));
    on("new-other", "click", () => this.meet(...this.another()));
    on("walk", "input", () => this.update(true));
    on("which-coordinates", "change", () => this.showCoordinates());
    change("rule", "change", ({ value }) => (this.changes.rule = value));
    change("keys-of", "change", ({ value }) => (this.changes.otherKeys = value === "other"));
    change("values-of", "change", ({ value }) => (this.changes.otherValues = value === "other"));
    change("all-rates", "input", ({ value }) => (this.changes.allRates = Number(value)));
    change("times", "change", ({ value }) => this.changes.times.set(this.step, Number(value)));
    change("step-rate", "input", ({ value }) => this.changes.rates.set(this.step, Number(value)));
    on("undo", "click", () => this.undo());
    const editor = (what, id, upright) => {
      const onEdit = (entries, value) => {
        const { size, updates } = this.painter;
        for (const entry of entries) this.changes[what].set((Math.floor(entry / size) * updates + this.step) * size + (entry % size), value);
        this.update(false);
      };
      return new StripEditor({ canvas: $(id), marker: $(`${id}-marker`), readout: $("edited"), upright, onEdit });
    };
    this.editors = { keys: editor("keys", "key", false), values: editor("values", "value", true) };
  }

  // Whether the painter that is shown paints here.
  enable(on) {
    for (const id of ["live", "edit-help", "untouched-figure"]) this.$(id).hidden = !on;
    for (const editor of Object.values(this.editors)) editor.enable(on);
    this.$("parts").classList.toggle("editable", on);
    this.$("rule-note").textContent = "";
  }

  // Another painter: its first painting, with the second as the other one.
  start(painter) {
    this.painter = painter;
    const { latents, channels, settings } = painter;
    this.$("parts").style.setProperty("--lanes", channels);
    this.changes = unchanged(settings.rule);
    const rules = Object.entries(RULES).filter(([name, rule]) => name === settings.rule || rule.chosenFor(settings));
    this.$("rule").replaceChildren(...rules.map(([name, rule]) => new Option(rule.label, name)));
    const pages = Array.from({ length: Math.ceil(settings.latent_dim / SLIDERS) }, (_, page) => page * SLIDERS);
    const name = (first) => `${first + 1} to ${Math.min(first + SLIDERS, settings.latent_dim)}`;
    this.$("which-coordinates").replaceChildren(...pages.map((first) => new Option(name(first), first)));
    this.showChanges();
    const second = latents.length > 1 ? [latents[1], "painting 2"] : this.another();
    this.meet(...second, false);
  }

  another() {
    this.number += 1;
    return [numberedLatent(this.number, this.painter.settings.latent_dim), `latent ${this.number}`];
  }

  // Paint from a latent.
  begin(latent, name) {
    Object.assign(this, { latent, name, coordinates: new Map() });
    this.$("walk").value = 0;
    this.update(true);
  }

  // The painting that a walk leads to, and whose keys and values can be used.
  meet(latent, name, repaint = true) {
    const { painter } = this;
    this.other = { latent, name, sequence: painter.sequence(latent) };
    const painting = painter.paint(this.other.sequence);
    show(this.$("other"), toBytes(painting.finished()), painter.channels, painter.size, painter.size);
    this.$("other").setAttribute("aria-label", `The other painting: ${name}`);
    this.$("other-name").textContent = name;
    if (repaint) this.update(true);
  }

  // The program's update, counted from 0, that is shown.
  get step() {
    return this.painting.order[this.shown];
  }

  // Paint at the next frame; `again`: the latent is another one.
  update(again) {
    this.again ||= again;
    this.due ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.due = null;
    const { painter, changes } = this;
    if (this.again) {
      const share = this.$("walk").value / 100;
      this.z = slerp(this.latent, this.other.latent, share);
      for (const [i, value] of this.coordinates) this.z[i] = value;
      this.sequence = painter.sequence(this.z);
      const reach = (array) => array.reduce((most, x) => Math.max(most, 1.5 * Math.abs(x)), 1e-6);
      const [keys, values] = [reach(this.sequence.keys), reach(this.sequence.values)];
      this.reach = { keys: painter.settings.softmax_keys ? [0, 1] : [-keys, keys], values: [-values, values] };
      this.title = this.name + (share ? `, ${Math.round(100 * share)} % of the way to ${this.other.name}` : "");
      this.$("walk").setAttribute("aria-valuetext", `${Math.round(100 * share)} % of the way to ${this.other.name}`);
      this.showCoordinates();
      this.again = false;
    }
    const changed = isChanged(changes, painter.settings.rule);
    this.$("undo").disabled = !changed;
    const untouched = painter.paint(this.sequence);
    const painting = changed ? painter.paint(this.sequence, changes, this.other.sequence) : untouched;
    this.onPainting(painting, this.title + (changed ? ", changed" : ""), untouched);
  }

  undo() {
    this.changes = unchanged(this.painter.settings.rule);
    this.showChanges();
    this.update(false);
  }

  // The controls of the whole painting, as the changes have them.
  showChanges() {
    const { $, changes } = this;
    $("rule").value = changes.rule;
    $("keys-of").value = changes.otherKeys ? "other" : "own";
    $("values-of").value = changes.otherValues ? "other" : "own";
  }

  // The controls of one update: the painting's number `shown`.
  showStep(painting, shown) {
    const { $, changes, painter } = this;
    Object.assign(this, { painting, shown });
    $("this-step").textContent = `${painting.unit[0].toUpperCase()}${painting.unit.slice(1)} ${this.step + 1}`;
    $("rule-note").textContent = RULES[changes.rule].note ? `; ${RULES[changes.rule].note}` : "";
    $("times").value = changes.times.get(this.step) ?? 1;
    for (const [id, factor] of [["step-rate", changes.rates.get(this.step) ?? 1], ["all-rates", changes.allRates]]) {
      $(id).value = factor;
      $(`${id}-factor`).textContent = factor.toFixed(2);
    }
    const { channels, size } = painter;
    const rows = (array) => Array.from({ length: channels }, (_, c) => array.subarray((c * painting.steps + shown) * size, (c * painting.steps + shown + 1) * size));
    const place = (what) => (entry) => (channels > 1 ? `${COLOURS[Math.floor(entry / size)]}, ` : "") + `${what} ${(entry % size) + 1} of ${size}`;
    const { keys, values } = this.editors;
    keys.show(rows(painting.keys), this.reach.keys, `Key of ${painting.unit} ${this.step + 1}`, place("column"));
    values.show(rows(painting.values), this.reach.values, `Value of ${painting.unit} ${this.step + 1}`, place("row"));
  }

  // One slider for each coordinate of the chosen part of the latent; only moved when others did it.
  showCoordinates() {
    const first = Number(this.$("which-coordinates").value);
    const box = this.$("coordinates");
    const count = Math.min(SLIDERS, this.z.length - first);
    if (box.children.length !== count || box.dataset.first !== String(first)) {
      box.dataset.first = first;
      box.replaceChildren(...Array.from({ length: count }, (_, i) => this.coordinateSlider(first + i)));
    }
    [...box.children].forEach((label, i) => {
      const [slider, value] = [label.querySelector("input"), this.z[first + i]];
      if (Number(slider.value) !== value) slider.value = value;
    });
  }

  coordinateSlider(i) {
    const [label, slider] = [document.createElement("label"), document.createElement("input")];
    Object.assign(slider, { type: "range", min: -4, max: 4, step: 0.01 });
    slider.addEventListener("input", () => {
      this.coordinates.set(i, Number(slider.value));
      this.update(true);
    });
    label.append(`z${i + 1}`, slider);
    return label;
  }
}
