"""Published checkpoints at the paper's full size: imported, and the same latents through both.

    python benchmarks/official.py

Makes checkpoints of random networks in the public code's format (tests/official.py), imports them with
`fpa import-official`, and compares `fpa sample --latents` with two things: a painter written out step by
step, and our networks with the same tensors through the tables of the reference vectors
(tests/reference.py), which go the other way. A minute on two
quiet cores, and a GB of disk.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import official  # noqa: E402
from reference import LIGHTGAN, PAINTER, UNET, renamed  # noqa: E402

from fpa.runs.generators import restore  # noqa: E402

PAPER = {
    **official.ARGS,
    "image_size": 64,
    "num_decoding_steps": 64,
    "latent_dim": 512,
    "rnn_hidden_size": 1024,
    "mini_latent_dim": 8,
    "mini_input_size": 128,
    "max_unet_dim": 4,
    "fmap_max": 512,
    "unet_tanh": True,
    "batch_size": 20,
    "grad_cummulate_every": 1,
}
PARAMETERS = {
    "base": 20_988_039,
    "lstm_delta": 7_746_947,
    "lstm_delta_unet": None,
    "lstm_delta_split_v2": 6_437_891,
    "lstm_delta_split_v2_unet": 14_423_366,
    "lstm_sum": None,
}
"""Published counts of the generators' parameters."""
COUNT = 4


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "fpa", *map(str, words)], check=True, cwd=ROOT)


def painted(G: torch.nn.Module, args: dict, z: torch.Tensor) -> torch.Tensor:
    """What a published painter makes, before a U-Net: written out from its description, step by step."""
    B, T, D, hidden = (
        len(z),
        args["num_decoding_steps"],
        args["image_size"],
        args["rnn_hidden_size"],
    )
    h, c = G.latent_to_init(z).view(B, 2, 1, hidden).permute(1, 2, 0, 3).contiguous()
    x = z.expand(T, B, -1)
    if "v2" in args["model_type"]:
        small = G.input_generator(z).tanh().view(B, T, args["mini_latent_dim"])
        x = G.per_time_linear_input(small).transpose(0, 1)
    states = G.decoder_rnn(x, (h, c))[0]
    additive = args["model_type"] == "lstm_sum"
    rows = (G.kv_net if additive else G.kvb_net)(states)
    W = torch.zeros(B, 3, D, D)
    for t in range(T):
        k, v = rows[t, :, : 6 * D].view(B, 2, 3, D).unbind(1)
        if additive:
            W = W + v[..., :, None] * k[..., None, :]
            continue
        k = k.softmax(-1)
        rate = rows[t, :, 6 * D :].sigmoid()[..., None] if t else 1.0
        u = rate * (v - (W * k[..., None, :]).sum(-1))
        W = W + u[..., :, None] * k[..., None, :]
    return W.tanh()


def check(kind: str, folder: Path) -> None:
    """Import one kind of model and compare its images."""
    args = {**PAPER, "model_type": kind}
    if kind == "base":
        args["latent_dim"] = 256
    torch.manual_seed(0)
    gan = official.gan(args)
    start = time.monotonic()
    run("import-official", *official.write(folder, official.contents(gan, steps=1), args))
    seconds = time.monotonic() - start
    z = torch.randn(COUNT, args["latent_dim"])
    np.save(folder / "z.npy", z.numpy())
    options = ("--latents", folder / "z.npy", "--out", folder / "images.npy", "--device", "cpu")
    run("sample", folder / "run", *options)
    found = torch.from_numpy(np.load(folder / "images.npy"))
    model = restore(folder / "run")
    tables = {"": [*PAINTER, (r"^kv_net\.", "program.to_kvb.")]}
    if kind == "base":
        tables = {"": LIGHTGAN}
    elif kind.endswith("unet"):
        tables = {"painter.": PAINTER, "unet.": UNET}
    state = {}
    for public, value in gan.GE.state_dict().items():
        if public.startswith("mod_dict.") or public.endswith(".f"):
            continue
        prefix = "unet." if public.startswith("u_net.") else next(iter(tables))
        state[prefix + renamed(public.removeprefix("u_net."), tables[prefix])] = value
    model.ema.load_state_dict(state, strict=True)
    torch.manual_seed(0)  # LightGAN's noise, of which `sample` has the same seed
    with torch.inference_mode():
        expected = model.ema(z)
    if kind != "base":
        with torch.inference_mode():
            literal = painted(gan.GE, args, z)
        if kind.endswith("unet"):
            run("sample", folder / "run", *options, "--which", "before_unet")
            painting = torch.from_numpy(np.load(folder / "images.npy"))
        else:
            painting = found
        far = (painting - literal).abs().max().item()
        print(f"{kind:26} the painting against a plain loop: {far:.1e}")
        assert far <= 1e-5
        assert far <= 1e-4 * literal.abs().max()
    error = (found - expected).abs().max().item()
    count = sum(p.numel() for p in model.ema.parameters())
    published = PARAMETERS[kind]
    note = f", published {published:,}" if published else ""
    size = (folder / "model_1.pt").stat().st_size / 1e6
    print(
        f"{kind:26} {size:5.0f} MB imported in {seconds:5.1f} s; {count:,} parameters{note}; "
        f"largest difference of {COUNT} images {error:.1e} (largest value {expected.abs().max():.2f})",
        flush=True,
    )
    assert error <= 1e-5


def main() -> None:
    for kind in PARAMETERS:
        with tempfile.TemporaryDirectory() as folder:
            check(kind, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
