"""The painters that run in the report's page: the same function as in PyTorch, and its controls."""

import base64
import json
from itertools import pairwise
from unittest import mock

import made_up
import numpy as np
import pytest
import torch
from browsing import opened, pixels, wait_until
from conftest import DISCRIMINATOR, fpa_ok, fpa_refused

from fpa.evaluation import live, trace
from fpa.evaluation.sampling import CHUNK, sample_latents
from fpa.experiment.plan import Plan
from fpa.models.learning_rules import additive_loop, delta_loop, gated_delta_loop
from fpa.models.parts import INPUTS, RULES, SEQUENCES
from fpa.reporting.player import live_files
from fpa.runs.run import build_model

SMALL = {"steps": 6, "latent_dim": 12, "hidden_size": 16, "mini_input_size": 8}
PAINTERS = {
    "v2": {},
    "v1": {"inputs": "v1", "layers": 2},
    "additive": {"inputs": "v1", "rule": "additive", "tanh_image": False},
    "additive_v2": {"rule": "additive", "softmax_keys": False, "tanh_values": True},
    "learned": {"position_codes": True, "learned_initial": True, "vector_rates": True},
    "raw": {
        "sigmoid_rates": False,
        "mini_tanh": False,
        "latent_to_state": False,
        "wide_dim": 24,
        "softmax_keys": False,
    },
    "oja": {"rule": "oja"},
    "gated": {"rule": "gated_delta", "learned_initial": True},
    "product": {"rule": "delta_product", "updates": 2, "vector_rates": True},
    "rank_r": {"rule": "rank_r_delta", "updates": 3, "steps": 4, "softmax_keys": False},
    "split": {"inputs": "split", "vector_rates": True},
    "transformer": {"sequence": "transformer", "heads": 4, "feedforward_size": 24, "layers": 2},
    "rfwp": {"inputs": "v1", "sequence": "rfwp", "heads": 4, "feedforward_size": 24, "layers": 2},
}
"""Settings of painters that together use every part and option that the page knows."""
GREY = ("v2", "learned", "gated", "product", "rank_r")
"""Those that paint in grey too: every way in which channels share or mix something."""


def experiment(channels: int, painters: dict, unet: bool = True) -> dict:
    """A configuration of painters and, if wished, a U-Net on the first of them."""

    def model(settings: dict) -> dict:
        return {
            "class": "fpa.models:FPA",
            "settings": {"painter": {**SMALL, **settings}, "discriminator": DISCRIMINATOR},
        }

    models = {name: model(settings) for name, settings in painters.items()}
    if unet:
        size = {"unet": {"width": 8, "max_multiplier": 2}}
        base = next(iter(models))
        models["unet"] = {"class": "fpa.models:FPAUNet", "base": base, "settings": size}
        residual = {"unet": {**size["unet"], "residual": True}}
        models["residual"] = {"class": "fpa.models:FPAUNet", "base": base, "settings": residual}
    config = made_up.experiment(models=())
    dataset = {"source": "digits", "resolution": 16, "channels": channels}
    return {**config, "datasets": {"digits": dataset}, "models": models}


def fill(folder, config: dict) -> dict:
    """A results folder with the painters' weights and its report; the models by name.

    The painters' weights are random, larger than untrained ones: images with contrast.
    """
    about, specs, results = made_up.fill(folder, config)
    runs = {run.folder: run for run in Plan({**config, "results": str(results)}).all_runs()}
    models = {}
    for number, (part, path) in enumerate(live_files(about, specs).items()):
        torch.manual_seed(number)
        model = build_model(runs[part.path.rpartition("/")[0]])
        with torch.no_grad():
            painter = getattr(model.ema, "painter", model.ema)
            painter.program.to_kvb.weight.mul_(20 if painter.settings.softmax_keys else 10)
            if getattr(model.ema, "unet", None) and model.ema.unet.residual:
                model.ema.unet.to_image.weight.normal_(std=0.2)
        # Few latents to check by: a U-Net takes its time.
        with mock.patch.object(live, "CHECKED", 20):
            (results / path).write_bytes(live.pack(model, 3, seed=0))
        models[part.model] = model
    fpa_ok("report", results, "--as-is", cwd=folder)
    return models


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def painted(request, tmp_path_factory):
    """Painters of every kind in colour, with a U-Net, or some in grey, and their report."""
    folder = tmp_path_factory.mktemp("live")
    colour = request.param == 3
    chosen = PAINTERS if colour else {name: PAINTERS[name] for name in GREY}
    models = fill(folder, experiment(request.param, chosen, unet=colour))
    return models, folder / "results" / "report.html"


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A painter and a U-Net in colour, and their report."""
    folder = tmp_path_factory.mktemp("colour")
    models = fill(folder, experiment(3, {"v2": {}}))
    return models, folder / "results" / "report.html"


@pytest.fixture
def page(browser, colour):
    with opened(browser, colour[1]) as page:
        yield page


OPEN = """name => {
    const entries = JSON.parse(document.getElementById("paintings-data").textContent);
    const entry = entries.find((entry) => entry.name === `${name} on digits`);
    const bytes = fromBase64(document.getElementById(entry.weights).textContent);
    window.painter = new LivePainter(entry.live, readSafetensors(bytes));
}"""


def shown_latents(model) -> torch.Tensor:
    """The latents (3, L) that the page begins with."""
    return sample_latents(CHUNK, model.latent_dim, seed=0)[:3]


def images(page, name: str, latents: torch.Tensor) -> np.ndarray:
    """What the page's painter makes of latents (N, L): (N, C * D * D)."""
    page.evaluate(OPEN, name)
    code = """latents => latents.map((z) => {
        const painting = painter.paint(painter.sequence(z));
        return Array.from(painter.unet ? painter.refine(painting) : painting.finished());
    })"""
    return np.array(page.evaluate(code, latents.tolist()))


# The same function ---------------------------------------------------------------------------


def test_every_painter_makes_the_images_that_it_makes_in_torch(browser, painted):
    models, path = painted
    with opened(browser, path) as page:
        for name, model in models.items():
            z = sample_latents(100, model.latent_dim, seed=5)
            with torch.inference_mode():
                expected = model.ema(z).flatten(1).numpy()
            assert expected.std() > 0.05, f"{name}: no image to compare"
            # What the project promises: float16 may take half of it, and rounding takes little.
            difference = np.abs(images(page, name, z) - expected).max()
            assert difference < 1e-3, f"{name}: {difference}"


def test_the_page_knows_every_part(page):
    parts = {"rule": (RULES, "RULES"), "inputs": (INPUTS, "INPUTS")}
    for part, (registry, name) in {**parts, "sequence": (SEQUENCES, "SEQUENCES")}.items():
        assert live.PARTS[part] == tuple(registry) == tuple(page.evaluate(f"Object.keys({name})"))


def test_rules_are_swapped_and_updates_left_out_as_in_torch(browser, painted):
    models, path = painted
    z = {name: sample_latents(1, model.latent_dim, seed=5) for name, model in models.items()}
    gated, rank_r = (models[name].ema for name in ("gated", "rank_r"))
    with torch.inference_mode():
        raw = gated.program(z["gated"])
        decays = (raw.rates[..., 1:].mean(dim=1, keepdim=True) + 4).sigmoid().log()
        parts = raw.keys.softmax(-1), raw.values, raw.rates[..., :1].sigmoid(), decays
        without = [torch.cat([part[:, :, :2], part[:, :, 3:]], dim=2) for part in parts]
        raw = rank_r.program(z["rank_r"])
        rates = raw.rates.sigmoid()
        rates[:, :, 0] = 1
        expected = {
            "gated": gated_delta_loop(*without, gated.initial)[0].tanh(),
            "rank_r": delta_loop(raw.keys, raw.values, rates)[0].tanh(),
        }
    changes = {
        "gated": """{ times: new Map([[2, 0]]) }""",
        "rank_r": """{ rule: "delta_product" }""",
    }
    offered = {
        "v2": ["delta", "additive", "oja"],
        "gated": ["delta", "additive", "oja", "gated_delta"],
        "rank_r": ["additive", "oja", "delta_product", "rank_r_delta"],
    }
    with opened(browser, path) as page:
        for name, change in changes.items():
            page.evaluate(OPEN, name)
            code = f"""z => Array.from(painter.paint(painter.sequence(z),
                {{ ...unchanged(painter.settings.rule), ...{change} }}).finished())"""
            found = page.evaluate(code, z[name][0].tolist())
            np.testing.assert_allclose(found, expected[name].flatten(), atol=1e-3)
        for name, rules in offered.items():
            page.select_option("#which", label=f"{name} on digits")
            settle(page)
            options = "options => options.map((o) => o.value)"
            assert page.eval_on_selector_all("#rule option", options) == rules
        slide(page, "#step", 5)
        assert page.inner_text("#position") == "update 5 of 12, in step 2"


def test_rank_and_spectrum_are_those_of_the_statistics(page, colour):
    page.evaluate(OPEN, "v2")
    model = colour[0]["v2"]
    z = sample_latents(1, model.latent_dim, seed=3)
    found = page.evaluate(
        """z => {
            const painting = painter.paint(painter.sequence(z));
            return [0, 2, 5].map((step) => {
                const { values, rank, effectiveRank } = painting.spectrum(step);
                return [Array.from(values), rank, effectiveRank];
            });
        }""",
        z[0].tolist(),
    )
    with torch.inference_mode():
        traced = {name: part.numpy() for name, part in model.paint(z).items()}
    expected = trace.statistics(traced)
    for (values, rank, effective_rank), step in zip(found, (0, 2, 5), strict=True):
        # As images: weights may be float16.
        np.testing.assert_allclose(values, expected["spectrum"][0, step], atol=1e-3)
        assert effective_rank == pytest.approx(expected["effective_rank"][0, step], abs=1e-2)
        assert rank == pytest.approx(step + 1) == expected["rank"][0, step]


def test_numbered_latents_are_standard_normal(page):
    latents = np.array(
        page.evaluate("Array.from({ length: 400 }, (_, i) => Array.from(numberedLatent(i, 64)))")
    )
    # 25,600 numbers: standard errors are 0.006 (mean), 0.004 (deviation) and 0.05 (correlation).
    assert abs(latents.mean()) < 0.03
    assert abs(latents.std() - 1) < 0.02
    neighbours = [np.corrcoef(a, b)[0, 1] for a, b in pairwise(latents)]
    assert abs(np.mean(neighbours)) < 0.03
    assert np.abs(np.corrcoef(latents[:, :8].T) - np.eye(8)).max() < 0.25


# Controls -----------------------------------------------------------------------------------


def choose(page, control: str, value: str) -> None:
    page.select_option(f"#{control}", value)
    settle(page)


def slide(page, selector: str, value: float) -> None:
    page.locator(selector).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )
    settle(page)


def settle(page) -> None:
    """Wait for the next painting: controls paint at the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def painted_by(model, latent: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return trace.to_uint8(model.ema(latent[None])[0].numpy())


def is_shown(page, expected: np.ndarray, canvas: str = "image") -> bool:
    # 1e-3 of 255 levels, and the rounding.
    return np.abs(pixels(page, canvas).astype(int) - expected).max() <= 1


def assert_shown(page, expected: np.ndarray, canvas: str = "image") -> None:
    assert is_shown(page, expected, canvas)


def test_it_begins_with_the_sample_and_paints_numbered_latents(page, colour):
    model = colour[0]["v2"]
    latents = shown_latents(model)
    settle(page)
    assert page.locator("#choices button").count() == 3
    assert_shown(page, painted_by(model, latents[0]))
    page.click("#choices button:nth-child(3)")
    settle(page)
    assert_shown(page, painted_by(model, latents[2]))
    assert page.get_attribute("#choices button:nth-child(3)", "aria-pressed") == "true"
    page.click("#new-latent")
    settle(page)
    assert "Latent 1 by v2" in page.get_attribute("#image", "aria-label")
    latent = torch.tensor(page.evaluate("Array.from(numberedLatent(1, 12))"), dtype=torch.float32)
    assert_shown(page, painted_by(model, latent))


def test_a_walk_ends_at_the_other_painting_and_coordinates_move_alone(page, colour):
    model = colour[0]["v2"]
    first, other, _ = shown_latents(model)
    slide(page, "#walk", 100)
    assert_shown(page, painted_by(model, other))
    assert_shown(page, pixels(page, "other"))
    assert "100 % of the way to painting 2" in page.get_attribute("#image", "aria-label")
    slide(page, "#walk", 0)
    choose(page, "which-coordinates", "8")
    slide(page, "#coordinates label:nth-child(3) input", 2.5)
    moved = first.clone()
    moved[10] = 2.5
    assert_shown(page, painted_by(model, moved))


def program_of(model, latent: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Keys, values and rates of a painting."""
    with torch.inference_mode():
        raw = model.ema.program(latent[None])
    rates = raw.rates.sigmoid()
    rates[:, :, 0] = 1
    return raw.keys.softmax(-1), raw.values.clone(), rates


def image_of(keys: torch.Tensor, values: torch.Tensor, rates: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return trace.to_uint8(delta_loop(keys, values, rates)[0][0].tanh().numpy())


def test_changes_are_made_to_the_same_keys_and_values(page, colour):
    model = colour[0]["v2"]
    first, other, _ = shown_latents(model)
    keys, values, rates = program_of(model, first)
    other_keys, other_values, _ = program_of(model, other)
    choose(page, "rule", "additive")
    with torch.inference_mode():
        written = additive_loop(keys, values)[0].tanh().numpy()
    assert_shown(page, trace.to_uint8(written))
    assert_shown(page, image_of(keys, values, rates), "untouched")
    page.click("#undo")
    settle(page)
    assert_shown(page, image_of(keys, values, rates))
    assert page.is_disabled("#undo")
    choose(page, "keys-of", "other")
    assert_shown(page, image_of(other_keys, values, rates))
    choose(page, "values-of", "other")
    assert_shown(page, image_of(other_keys, other_values, rates))
    page.click("#undo")
    slide(page, "#all-rates", 0.5)
    assert_shown(page, image_of(keys, values, rates * 0.5))
    page.click("#undo")
    settle(page)
    slide(page, "#step", 3)
    choose(page, "times", "0")
    slide(page, "#step", 6)
    without = rates.clone()
    without[:, :, 2] = 0
    assert_shown(page, image_of(keys, values, without))
    slide(page, "#step", 2)
    choose(page, "times", "2")
    slide(page, "#step-rate", 0.25)
    assert page.get_attribute("#step", "max") == "7"
    slide(page, "#step", 3)
    assert page.inner_text("#position") == "step 3 of 7 (step 2 again)"
    slide(page, "#step", 7)
    order = [0, 1, 1, 2, 3, 4, 5]
    scaled = without.clone()
    scaled[:, :, 1] *= 0.25
    repeated = image_of(keys[:, :, order], values[:, :, order], scaled[:, :, order])
    assert_shown(page, repeated)


@pytest.fixture
def written(colour):
    """Keys, values and rates of the first painting, and the image that any others give."""
    model = colour[0]["v2"]
    keys, values, rates = program_of(model, shown_latents(model)[0])

    def image(keys=keys, values=values) -> np.ndarray:
        return image_of(keys, values, rates)

    return keys.clone(), values.clone(), image


def drag(page, start: tuple[float, float], *to: tuple[float, float]) -> None:
    """By mouse, in pixels of the window."""
    page.mouse.move(*start)
    page.mouse.down()
    for point in to:
        page.mouse.move(*point)
    page.mouse.up()
    settle(page)


def cell(page, strip: str, channel: int, entry: int) -> tuple[float, float]:
    """The middle of one of 16 entries of a strip for three channels, in pixels of the window."""
    # Far from the window's ends, which are the ends of the range too.
    page.locator(strip).evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = page.locator(strip).bounding_box()
    across, along = (channel + 0.5) / 3, (entry + 0.5) / 16
    x, y = (along, across) if strip == "#key" else (across, along)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def number(page, strip: str) -> float:
    return float(page.get_attribute(strip, "aria-valuenow"))


def test_strips_are_edited_by_dragging(page, written):
    keys, values, image = written
    settle(page)
    x, y = cell(page, "#key", 1, 4)
    drag(page, (x, y), (x + 2, y + 2))
    assert page.is_disabled("#undo"), "a tap chooses, and changes nothing"
    assert page.inner_text("#edited").startswith("Key of step 6, green, column 5 of 16: ")
    # Upwards, and too far: the end of a softmax key's range.
    drag(page, (x, y), (x, y - 60), (x, y - 130))
    assert number(page, "#key") == 1
    assert cell(page, "#key", 1, 4) == (x, y), "nothing has moved"
    keys[0, 1, 5, 4] = 1
    assert_shown(page, image(keys))
    # Downwards by half of the way to the other end.
    drag(page, (x, y), (x + 30, y + 60))
    assert number(page, "#key") == pytest.approx(0.5, abs=0.01)
    keys[0, 1, 5, 4] = number(page, "#key")
    assert_shown(page, image(keys))
    # Along: what is under the pointer is drawn over its neighbours, those skipped too.
    x, y = cell(page, "#value", 2, 9)
    assert number(page, "#value") != pytest.approx(values[0, 2, 5, 9].item(), abs=1e-3)
    drag(page, (x, y), (x, cell(page, "#value", 2, 12)[1]))
    values[0, 2, 5, 9:13] = values[0, 2, 5, 9].clone()
    assert number(page, "#value") == pytest.approx(values[0, 2, 5, 12].item(), abs=1e-3)
    assert_shown(page, image(keys, values))
    page.click("#undo")
    settle(page)
    assert_shown(page, image())


def test_strips_are_edited_by_keyboard(page, written):
    keys, values, image = written
    settle(page)
    strip = page.get_by_role("slider", name="Key of step 6")
    strip.focus()
    for key in ("Home", "ArrowRight", "ArrowUp", "PageUp", "ArrowDown", "End", "ArrowRight"):
        page.keyboard.press(key)
        settle(page)
    keys[0, 0, 5, 1] += 4 / 40
    assert strip.get_attribute("aria-valuetext").startswith("green, column 1 of 16: ")
    assert_shown(page, image(keys))
    strip = page.get_by_role("slider", name="Value of step 6")
    strip.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    settle(page)
    low, high = (float(strip.get_attribute(f"aria-value{end}")) for end in ("min", "max"))
    values[0, 0, 5, 1] += (high - low) / 40
    assert number(page, "#value") == pytest.approx(values[0, 0, 5, 1].item(), abs=1e-3)
    assert page.inner_text("#edited").startswith("Value of step 6, red, row 2 of 16: ")
    assert_shown(page, image(keys, values))


def test_the_unet_follows(page, colour):
    model = colour[0]["unet"]
    page.select_option("#which", label="unet on digits")
    page.click("#new-latent")
    latent = torch.tensor(page.evaluate("Array.from(numberedLatent(1, 12))"), dtype=torch.float32)
    # Where it is slow, it waits until nothing has changed for a while.
    wait_until(page, lambda: is_shown(page, painted_by(model, latent), "refined"))


def touch(page, start: tuple[float, float], *to: tuple[float, float]) -> None:
    """A finger put down, moved and lifted: what the browser makes of it, scrolling included."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        # Steps of a few pixels, as a finger's: the browser decides by the first ones what they are.
        finger = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": finger})

    send("touchStart", start)
    for point in to:
        for share in np.linspace(0.1, 1, 10):
            x, y = (a + share * (b - a) for a, b in zip(start, point, strict=True))
            send("touchMove", (float(x), float(y)))
        start = point
    send("touchEnd")
    settle(page)


@pytest.fixture
def phone(browser, colour):
    size = {"viewport": {"width": 400, "height": 800}, "has_touch": True, "is_mobile": True}
    with opened(browser, colour[1], **size) as page:
        settle(page)
        yield page


def test_it_works_on_a_phone_by_touch(phone, written):
    page, (keys, values, image) = phone, written
    x, y = cell(page, "#key", 0, 7)
    top = page.evaluate("scrollY")
    touch(page, (x, y), (x, y - 60))
    assert page.evaluate("scrollY") == top, "a finger on a strip does not scroll"
    keys[0, 0, 5, 7] = number(page, "#key")
    assert page.inner_text("#edited").startswith("Key of step 6, red, column 8 of 16: ")
    assert_shown(page, image(keys))
    # To the left of the value's strip is the window's end: the range ends there too.
    x, y = cell(page, "#value", 1, 3)
    assert x < 120
    touch(page, (x, y), (1, y))
    low = float(page.get_attribute("#value", "aria-valuemin"))
    assert number(page, "#value") == pytest.approx(low)
    values[0, 1, 5, 3] = low
    assert_shown(page, image(keys, values))
    # Elsewhere it scrolls, and sliders follow it.
    top = page.evaluate("scrollY")
    box = page.locator("#image").bounding_box()
    x, y = box["x"] + 50, box["y"] + 80
    touch(page, (x, y), (x, y - 60))
    page.wait_for_function("top => scrollY > top + 20", arg=top)
    walk = page.locator("#walk")
    walk.scroll_into_view_if_needed()
    box = walk.bounding_box()
    x, y = box["x"] + 8, box["y"] + box["height"] / 2
    touch(page, (x, y), (x + box["width"] / 2, y))
    assert 30 < int(walk.input_value()) < 70
    page.locator("#undo").tap()
    before = pixels(page, "image")
    page.locator("#new-latent").tap()
    settle(page)
    assert (pixels(page, "image") != before).any()


def test_it_fits_a_phone(phone):
    for width in (320, 400):
        phone.set_viewport_size({"width": width, "height": 800})
        assert phone.evaluate("document.documentElement.scrollWidth") <= width
        # WCAG 2.2, target size (minimum).
        small = phone.eval_on_selector_all(
            "#player button, #player select, #player input, #player [tabindex]",
            """all => all.filter((e) => e.checkVisibility()).filter((e) => {
                const { width, height } = e.getBoundingClientRect();
                return Math.min(width, height) < 24;
            }).map((e) => e.id)""",
        )
        assert small == []


def test_the_controls_are_not_printed(page):
    page.emulate_media(media="print")
    assert page.is_hidden("#live")
    assert page.is_visible("#image")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    choose(page, "rule", "oja")
    found = axe.Axe().run(page).response["violations"]
    nodes = [(rule["id"], node["html"][:120]) for rule in found for node in rule["nodes"]]
    assert nodes == []


# What is left out ----------------------------------------------------------------------------


def test_weights_are_float16_where_images_stay_what_they_are(colour):
    model = colour[0]["v2"]
    before = {name: value.clone() for name, value in model.ema.state_dict().items()}
    z = sample_latents(live.CHECKED, model.latent_dim, seed=0, chunk=1)
    with torch.inference_mode():
        images = model.ema(z)
    _, largest = live.compact(model.ema, model.latent_dim, 0, tolerance=1)
    halves = []
    for tolerance in (0, largest / 4, largest):
        tensors, error = live.compact(model.ema, model.latent_dim, 0, tolerance)
        assert error <= tolerance
        halves.append(sum(tensor.dtype == torch.float16 for tensor in tensors.values()))
        model.ema.load_state_dict(tensors)
        with torch.inference_mode():
            assert (model.ema(z) - images).abs().max().item() == error
        model.ema.load_state_dict(before)
    assert halves[0] < halves[1] < halves[2] == len(before)
    assert all(torch.equal(before[n], v) for n, v in model.ema.state_dict().items())


def test_a_large_painter_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "LARGEST", 1000)
    fill(tmp_path, experiment(1, {"v2": {}}, unet=False))
    page = (tmp_path / "results" / "report.html").read_text()
    assert "v2 on digits does not run here: its weights take 0.0 MB, more than 0 MB." in page
    assert 'id="weights-0"' not in page
    assert 'id="live"' not in page
    assert "Watch it paint" in page


def test_a_part_or_option_that_the_page_lacks_is_left_out(monkeypatch):
    settings = live.PainterSettings(wide_dim=8)
    assert live.not_run(settings) is None
    monkeypatch.setattr(live, "OPTIONS", ("steps",))
    assert live.not_run(settings) == "the page does not run painters with wide_dim: 8"
    monkeypatch.setitem(live.PARTS, "sequence", ("transformer",))
    assert live.not_run(settings) == "the page does not run painters with sequence: lstm"
    assert {*live.PARTS, *("steps",)} <= set(live.PainterSettings.model_fields)


def test_a_unet_that_gets_something_else_than_the_image_is_left_out(colour, monkeypatch):
    generator = colour[0]["unet"].ema
    assert live._describe(generator)["left_out"] is None
    monkeypatch.setattr(generator, "forward", lambda z: generator.unet(generator.painter(z) / 2))
    assert "refines something else" in live._describe(generator)["left_out"]


def test_a_page_takes_no_more_weights_than_it_can_hold(tmp_path, monkeypatch):
    fill(tmp_path, experiment(1, {"v2": {}}))
    path = tmp_path / "results" / "report.html"
    weights = path.read_text().split('id="weights-0">')[1].partition("<")[0]
    monkeypatch.setattr("fpa.reporting.player.MOST_WEIGHTS", len(base64.b64decode(weights)) + 100)
    fpa_ok("report", tmp_path / "results", "--as-is", cwd=tmp_path)
    page = path.read_text()
    entries = json.loads(page.split('id="paintings-data">')[1].partition("<")[0])
    assert ["live" in entry for entry in entries] == [True, False, False]
    assert "unet on digits does not run here" in page
    assert "Painters marked “runs here” run in this page" in page


def test_a_broken_file_is_one_line(tmp_path):
    about, specs, results = made_up.fill(tmp_path, experiment(1, {"v2": {}}))
    path = next(iter(live_files(about, specs).values()))
    (results / path).write_bytes(b"no tensors")
    done = fpa_refused("report", results, "--as-is", cwd=tmp_path)
    assert f"{path} is not a painter as `python -m fpa live` writes it" in done.stderr
