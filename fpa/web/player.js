// The player: paintings step by step, from saved traces or from a painter that paints here.
function startPlayer(entries) {
  const $ = (id) => document.getElementById(id);
  let entry, painting, timer, title, refining;
  // Milliseconds that the last run of a U-Net took.
  let pace = 0;
  const controls = $("live") && new Controls($, (painted, name, untouched) => {
    display(painted, name[0].toUpperCase() + name.slice(1));
    show($("untouched"), toBytes(untouched.finished()), entry.channels, entry.size, entry.size);
  });

  // Decoded when it is first looked at: a list of paintings is long, and a network is large.
  function open(chosen) {
    if (chosen.live && !chosen.painter) {
      chosen.painter = new LivePainter(chosen.live, readSafetensors(fromBase64($(chosen.weights).textContent)));
      Object.assign(chosen, { channels: chosen.painter.channels, size: chosen.painter.size });
      chosen.paintings = chosen.painter.latents.length;
    }
    if (!chosen.live && typeof chosen.left === "string") {
      for (const name of ["left", "right", "rates", "initial"]) chosen[name] &&= new Float32Array(fromBase64(chosen[name]));
      chosen.values = new Int8Array(fromBase64(chosen.values));
      chosen.refined &&= new Uint8Array(fromBase64(chosen.refined));
    }
    return chosen;
  }

  function paintingOf(index) {
    if (entry.live) return entry.painter.paint(entry.painter.sequence(entry.painter.latents[index]));
    const { channels, steps, size, tanh, initial } = entry;
    const part = (array) => array && array.subarray((index * array.length) / entry.paintings, ((index + 1) * array.length) / entry.paintings);
    const [left, right, values, rates, refined] = ["left", "right", "values", "rates", "refined"].map((name) => part(entry[name]));
    return new Painting({ channels, steps, size, tanh, initial, left, right, values, rates, refined });
  }

  function choosePainter() {
    entry = open(entries[$("which").selectedIndex]);
    const thumbnails = Array.from({ length: entry.paintings }, (_, i) => {
      const [button, canvas] = [document.createElement("button"), document.createElement("canvas")];
      const sample = paintingOf(i);
      show(canvas, sample.refined || toBytes(sample.finished()), entry.channels, entry.size, entry.size);
      canvas.setAttribute("aria-hidden", "true");
      button.type = "button";
      button.setAttribute("aria-label", `Painting ${i + 1}`);
      button.append(canvas);
      button.addEventListener("click", () => choosePainting(i));
      return button;
    });
    $("choices").replaceChildren(...thumbnails);
    painting = null;
    controls?.enable(Boolean(entry.live));
    if (entry.live) controls.start(entry.painter);
    choosePainting(0);
  }

  function choosePainting(index) {
    if (entry.live) return controls.begin(entry.painter.latents[index], `painting ${index + 1}`);
    display(paintingOf(index), `Painting ${index + 1}`);
  }

  function display(painted, name) {
    const atEnd = !painting || Number($("step").value) >= painting.steps;
    [painting, title] = [painted, name];
    $("step").max = painting.steps;
    if (atEnd) $("step").value = painting.steps;
    [...$("choices").children].forEach((button, i) => button.setAttribute("aria-pressed", title === `Painting ${i + 1}`));
    const unet = entry.live && entry.painter.unet;
    $("refined-figure").hidden = !painting.refined && !unet;
    if (painting.refined) show($("refined"), painting.refined, entry.channels, entry.size, entry.size);
    clearTimeout(refining);
    if (unet && pace < 60) refine();
    else if (unet) refining = setTimeout(refine, 200);
    drawRates();
    drawStep();
  }

  function refine() {
    const begin = performance.now();
    show($("refined"), toBytes(entry.painter.refine(painting)), entry.channels, entry.size, entry.size);
    pace = performance.now() - begin;
  }

  const across = (step) => (painting.steps > 1 ? (300 * step) / (painting.steps - 1) : 150);

  function drawRates() {
    const top = Math.max(1, ...painting.rates);
    const points = Array.from(painting.rates, (rate, i) => `${across(i)},${100 - (100 * Math.max(rate, 0)) / top}`);
    $("highest").textContent = +top.toPrecision(2);
    $("rates").innerHTML = `<polyline points="${points.join(" ")}"/><line y1="0" y2="100"/>`;
  }

  function drawSpectrum(step) {
    const { values, rank, effectiveRank } = painting.spectrum(step);
    const width = 300 / values.length;
    const top = Math.max(1, ...values);
    $("largest").textContent = +top.toPrecision(2);
    const bars = Array.from(values, (value, i) => `<rect x="${(i + 0.1) * width}" y="${100 - (100 * value) / top}" width="${0.8 * width}" height="${(100 * value) / top}"/>`);
    $("spectrum").innerHTML = bars.join("");
    const text = `rank ${+rank.toFixed(1)} of ${values.length}, effective rank ${effectiveRank.toFixed(1)}`;
    $("rank").textContent = text;
    $("spectrum").setAttribute("aria-label", `Singular values of the image after step ${step + 1}: ${text}`);
  }

  function drawStep() {
    const step = $("step").value - 1;
    const { channels, size, steps, order, perStep, unit } = painting;
    const update = painting.update(step);
    show($("image"), painting.pixels(painting.partials[step]), channels, size, size);
    show($("update"), painting.pixels(update), channels, size, size);
    strip($("key"), painting, painting.keys, step, shades(painting.keys, painting.keys.some((x) => x < 0)), false);
    strip($("value"), painting, painting.values, step, shades(painting.values, true), true);
    const [rate, share] = [painting.rates[step].toFixed(2), (norm(update) / painting.norm).toFixed(2)];
    const inStep = perStep > 1 ? `, in step ${Math.floor(order[step] / perStep) + 1}` : "";
    const again = order.indexOf(order[step]) < step ? ` (${unit} ${order[step] + 1} again)` : "";
    const position = `${unit} ${step + 1} of ${steps}${inStep}${again}`;
    $("position").textContent = position;
    $("step").setAttribute("aria-valuetext", position);
    $("image-caption").textContent = `the image after ${position}`;
    $("rate").textContent = `learning rate β = ${rate}; norm of the update: ${share} of the image's`;
    $("image").setAttribute("aria-label", `${title} by ${entry.name} after ${position}`);
    $("update").setAttribute("aria-label", `${perStep > 1 ? "Update" : "The rank-1 update of step"} ${step + 1}, ${share} of the image's norm`);
    $("key").setAttribute("aria-label", `The key of ${unit} ${step + 1}: ${peaks(painting.keys, step, "column")}`);
    $("value").setAttribute("aria-label", `The value of ${unit} ${step + 1}: ${peaks(painting.values, step, "row")}`);
    $("rates").setAttribute("aria-label", `Learning rate of each ${unit}; at ${unit} ${step + 1} it is ${rate}`);
    const [marker] = $("rates").getElementsByTagName("line");
    for (const end of ["x1", "x2"]) marker.setAttribute(end, across(step));
    drawSpectrum(step);
    if (entry.live) controls.showStep(painting, step);
  }

  // Where a step's vector is largest, in words.
  function peaks(vectors, step, what) {
    const here = vectors.subarray(step * painting.size, (step + 1) * painting.size);
    const place = here.reduce((best, x, i) => (Math.abs(x) > Math.abs(here[best]) ? i : best), 0);
    return `largest at ${what} ${place + 1} of ${painting.size}`;
  }

  function stop() {
    clearInterval(timer);
    timer = undefined;
    $("play").textContent = "Play";
  }

  function toggle() {
    if (timer !== undefined) return stop();
    if (Number($("step").value) >= painting.steps) $("step").value = 1;
    drawStep();
    $("play").textContent = "Pause";
    timer = setInterval(() => {
      move(1);
      if (Number($("step").value) >= painting.steps) stop();
    }, Math.max(60, Math.min(400, 6000 / painting.steps)));
  }

  function move(by) {
    $("step").value = Number($("step").value) + by;
    drawStep();
  }

  $("which").addEventListener("change", () => {
    stop();
    choosePainter();
  });
  $("step").addEventListener("input", () => {
    stop();
    drawStep();
  });
  $("play").addEventListener("click", toggle);
  $("player").addEventListener("keydown", (event) => {
    const on = event.target;
    if (event.key === " " && !on.matches("button, select")) {
      event.preventDefault();
      toggle();
    }
    // Sliders and lists know the other keys themselves.
    if (on.matches("input, select, [role=slider]")) return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -painting.steps, End: painting.steps };
    if (event.key in moves) {
      event.preventDefault();
      stop();
      move(moves[event.key]);
    }
  });
  choosePainter();
}

const described = document.getElementById("paintings-data");
if (described) startPlayer(JSON.parse(described.textContent));
