"""Checkpoints in the public code's format: modules that have its names, shapes and order, and no more.

Written from the description of the published networks, without fpa.models.official_checkpoints: torch itself gives
the state dict its names, the repeated entries and the order, and Adam its state.
"""

import json
import math
from itertools import pairwise
from pathlib import Path

import torch
from conftest import fpa_ok
from torch import Tensor, nn

ARGS = {
    "model_type": "lstm_delta_split_v2",
    "image_size": 16,
    "num_decoding_steps": 6,
    "latent_dim": 24,
    "rnn_hidden_size": 16,
    "num_layers": 1,
    "mini_latent_dim": 4,
    "mini_input_size": 12,
    "use_softmax": True,
    "out_tanh": True,
    "v2_input_sigmoid": True,
    "use_latent_to_init": True,
    "use_pos_enc": False,
    "val_tanh": False,
    "vect_lr": False,
    "no_sigmoid_lr": False,
    "unet_tanh": False,
    "max_unet_dim": 2,
    "greyscale": False,
    "fmap_max": 16,
    "batch_size": 4,
    "grad_cummulate_every": 2,
    "num_heads": 4,
    "ff_dim": 20,
}


def tree(**children: nn.Module | nn.Parameter) -> nn.Module:
    """A module that holds others by name; those without parameters are None or Identity there."""
    module = nn.Module()
    for name, child in children.items():
        setattr(module, name, child)
    return module


def chan_norm(width: int) -> nn.Module:
    return tree(
        g=nn.Parameter(torch.ones(1, width, 1, 1)), b=nn.Parameter(torch.zeros(1, width, 1, 1))
    )


def prenorm(width: int, inside: nn.Module) -> nn.Module:
    return tree(fn=inside, norm=chan_norm(width))


def blur(on: bool) -> nn.Module:
    module = nn.Module()
    if on:
        module.register_buffer("f", torch.tensor([1.0, 2.0, 1.0]))
    return module


def attention(width: int) -> nn.Module:
    def conv(outputs: int) -> nn.Module:
        return nn.Conv2d(width, outputs, 1, bias=False)

    depthwise = nn.Conv2d(width, width, 3, groups=width, bias=False)
    return prenorm(
        width,
        tree(
            to_lin_q=conv(512),
            to_lin_kv=tree(net=nn.Sequential(depthwise, conv(1024))),
            to_q=conv(512),
            to_kv=conv(1024),
            to_out=nn.Conv2d(1024, width, 1),
        ),
    )


def branches(inputs: int, outputs: int, blurred: bool) -> nn.Module:
    nothing = nn.Identity()
    first = nn.Sequential(
        blur(blurred), nn.Conv2d(inputs, outputs, 4), nothing, nn.Conv2d(outputs, outputs, 3)
    )
    second = nn.Sequential(blur(blurred), nothing, nn.Conv2d(inputs, outputs, 1))
    return tree(branches=nn.ModuleList([first, second]))


def discriminator(size: int, channels: int, fmap_max: int, blurred: bool) -> nn.Module:
    layers, inputs = nn.ModuleList(), channels
    for n in range(int(math.log2(size)), 3, -1):
        outputs = min(2 ** (13 - n), fmap_max)
        attended = attention(inputs) if n == 5 else None
        layers.append(nn.ModuleList([branches(inputs, outputs, blurred), attended]))
        inputs = outputs
    nothing = nn.Identity()
    last = inputs
    decoder = nn.ModuleList()
    for i in range(4):
        outputs = 2 * channels if i == 3 else inputs
        decoder.append(nn.Sequential(nothing, nn.Conv2d(inputs, outputs, 3)))
        inputs //= 2
    return tree(
        residual_layers=layers,
        to_logits=nn.Sequential(
            blur(blurred), nn.Conv2d(last, last, 3), nothing, nn.Conv2d(last, 1, 4)
        ),
        to_shape_disc_out=nn.Sequential(
            nn.Conv2d(channels, 64, 3),
            tree(fn=attention(64)),
            branches(64, 32, blurred),
            tree(fn=attention(32)),
            nothing,
            nn.Conv2d(32, 1, 4),
        ),
        decoder1=tree(layers=decoder),
    )


def lightgan(size: int, channels: int, latent: int, fmap_max: int) -> nn.Module:
    levels = int(math.log2(size))
    nothing = nn.Identity()
    widths = {2: latent} | {n + 1: min(2 ** (12 - n), fmap_max) for n in range(2, levels)}
    layers = nn.ModuleList()
    for n in range(2, levels):
        grow = nn.Sequential(
            nothing,
            blur(True),
            nn.Sequential(nothing, nn.Conv2d(widths[n], 2 * widths[n + 1], 4)),
            tree(weight=nn.Parameter(torch.randn(1))),
            nn.BatchNorm2d(2 * widths[n + 1]),
        )
        gate = None
        if n + 4 <= levels and n >= 3:
            inner = max(3, widths[n + 4] // 2)
            gate = tree(
                to_k=nn.Conv2d(widths[n + 1], 1, 1),
                net=nn.Sequential(
                    nn.Conv2d(widths[n + 1], inner, 1), nothing, nn.Conv2d(inner, widths[n + 4], 1)
                ),
            )
        layers.append(nn.ModuleList([grow, gate, attention(widths[n]) if n == 5 else None]))
    return tree(
        initial_conv=nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * latent, 4), nn.BatchNorm2d(2 * latent)
        ),
        layers=layers,
        out_conv=nn.Conv2d(widths[levels], channels, 3),
    )


def unet(size: int, channels: int, largest: int) -> nn.Module:
    def block(inputs: int, outputs: int) -> nn.Module:
        return tree(proj=nn.Conv2d(inputs, outputs, 3), norm=nn.GroupNorm(8, outputs))

    def residual(inputs: int, outputs: int) -> nn.Module:
        skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        return tree(block1=block(inputs, outputs), block2=block(outputs, outputs), res_conv=skip)

    def attended(width: int, linear: bool) -> nn.Module:
        out: nn.Module = nn.Conv2d(128, width, 1)
        if linear:
            out = nn.Sequential(out, chan_norm(width))
        inside = tree(to_qkv=nn.Conv2d(width, 384, 1, bias=False), to_out=out)
        return tree(fn=prenorm(width, inside))

    def level(inputs: int, outputs: int, resize: nn.Module) -> nn.Module:
        blocks = [residual(inputs, outputs), residual(outputs, outputs)]
        return nn.ModuleList([*blocks, attended(outputs, True), resize])

    widths = [size] + [size * 2**i for i in range(int(math.log2(largest)) + 1)]
    pairs = list(pairwise(widths))
    downs, ups = nn.ModuleList(), nn.ModuleList()
    for i, (inputs, outputs) in enumerate(pairs):
        last = i == len(pairs) - 1
        downs.append(
            level(inputs, outputs, nn.Identity() if last else nn.Conv2d(outputs, outputs, 4))
        )
    for inputs, outputs in reversed(pairs[1:]):
        ups.append(level(2 * outputs, inputs, nn.ConvTranspose2d(inputs, inputs, 4)))
    # The last level grows no more.
    ups.append(level(2 * pairs[0][1], pairs[0][0], nn.Identity()))
    return tree(
        init_conv=nn.Conv2d(channels, size, 7),
        downs=downs,
        ups=ups,
        mid_block1=residual(widths[-1], widths[-1]),
        mid_attn=attended(widths[-1], False),
        mid_block2=residual(widths[-1], widths[-1]),
        final_res_block=residual(2 * size, size),
        final_conv=nn.Conv2d(size, channels, 1),
    )


def attention_layer(width: int, heads: int, recurrent: bool) -> nn.Module:
    size = width // heads
    parameters = {}
    if recurrent:
        for name in ("R_q", "R_k", "R_v"):
            parameters[name] = nn.Parameter(torch.randn(1, heads, size, size))
        parameters["r_b"] = nn.Parameter(torch.randn(1, heads, 1, size))
    outputs = 3 * width + heads * recurrent
    return tree(
        **parameters,
        slow_net=nn.Linear(width, outputs, bias=False),
        out_linear=nn.Linear(width, width, bias=False),
        layer_norm=nn.LayerNorm(width),
    )


def feedforward(width: int, inner: int) -> nn.Module:
    nothing = nn.Identity()
    layers = nn.Sequential(nn.Linear(width, inner), nothing, nothing, nn.Linear(inner, width))
    return tree(ff_layers=layers, layer_norm=nn.LayerNorm(width))


def painter(a: dict) -> nn.Module:
    """A painter's generator, with its U-Net and what repeats both where there is one."""
    kind, channels, D = a["model_type"], 1 if a["greyscale"] else 3, a["image_size"]
    L, T, hidden, layers = (
        a[name] for name in ("latent_dim", "num_decoding_steps", "rnn_hidden_size", "num_layers")
    )
    split, refined = "split" in kind, kind.endswith("_unet")
    trafo, rfwp, additive = kind == "trafo_delta_split", kind == "rfwp_delta", kind == "lstm_sum"
    size = L
    if split:
        size = hidden if trafo else a["mini_input_size"]
    parts: dict[str, nn.Module | nn.Parameter] = {}
    if a["use_pos_enc"]:
        parts["decoder_time_enc"] = nn.Parameter(torch.randn(T, size))
    if a.get("use_learned_init"):
        parts["learned_init"] = nn.Parameter(torch.randn(channels, D, D))
    if rfwp:
        parts["latent_to_init"] = nn.Linear(L, layers * hidden)
        parts["latent_to_input"] = nn.Linear(L, hidden)
    elif not split or (a["use_latent_to_init"] and "v2" in kind and "oja" not in kind):
        parts["latent_to_init"] = nn.Linear(L, 2 * layers * hidden)
    if "v2" in kind:
        parts["input_generator"] = nn.Linear(L, T * a["mini_latent_dim"])
    if split:
        mini = a["mini_latent_dim"] if "v2" in kind else L // T
        parts["per_time_linear_input"] = nn.Linear(mini, size)
    if trafo:
        alternating = []
        for _ in range(layers):
            alternating.append(attention_layer(hidden, a["num_heads"], False))
            alternating.append(feedforward(hidden, a["ff_dim"]))
        parts["transformer_encoder"] = nn.Sequential(*alternating)
    elif rfwp:
        parts["rfwp_layers"] = nn.ModuleList(
            attention_layer(hidden, a["num_heads"], True) for _ in range(layers)
        )
        parts["ff_layers"] = nn.ModuleList(feedforward(hidden, a["ff_dim"]) for _ in range(layers))
    else:
        parts["decoder_rnn"] = nn.LSTM(size, hidden, layers)
    width = hidden
    if a.get("wide_out_dim") and not refined:
        width = a["wide_out_dim"]
        parts["wide_net"] = nn.Sequential(nn.Linear(hidden, width))
    rates = 0 if additive else D if a["vect_lr"] else 1
    parts["kv_net" if additive else "kvb_net"] = nn.Linear(width, channels * (2 * D + rates))
    network = tree(**parts)
    if refined:
        network.u_net = unet(D, channels, a["max_unet_dim"])
        base = [part for part in parts.values() if isinstance(part, nn.Module)]
        network.mod_dict = nn.ModuleDict(
            {"base": nn.ModuleList(base), "unet": nn.ModuleList([network.u_net])}
        )
    return network


def gan(a: dict) -> nn.Module:
    """Generator, its average, discriminator, and the wrapper around the same discriminator."""
    base, channels = a["model_type"] == "base", 1 if a["greyscale"] else 3
    size, fmap_max = a["image_size"], a["fmap_max"]

    def generator() -> nn.Module:
        return lightgan(size, channels, a["latent_dim"], fmap_max) if base else painter(a)

    D = discriminator(size, channels, fmap_max, blurred=base)
    return tree(G=generator(), D=D, GE=generator(), D_aug=tree(D=D))


def contents(module: nn.Module, steps: int = 5) -> dict:
    """What the public code saves, with the states of two optimizers that have made some steps."""
    optimizers = {}
    for name in ("G", "D"):
        parameters = list(getattr(module, name).parameters())
        kept = [parameter.detach().clone() for parameter in parameters]
        optimizer = torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.9))
        for _ in range(steps):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)
        optimizers[f"{name}_opt"] = optimizer.state_dict()
    scaler: dict[str, Tensor] = {}
    return {
        "GAN": module.state_dict(),
        "version": "0.0.1",
        "G_scaler": scaler,
        "D_scaler": scaler,
        **optimizers,
    }


def write(folder: Path, saved: dict, args: dict) -> list[object]:
    """The two files, as `fpa import-official` takes them."""
    checkpoint, arguments = folder / "model_1.pt", folder / "args.txt"
    torch.save(saved, checkpoint)
    arguments.write_text(json.dumps(args, indent=2))
    return [checkpoint, "--args", arguments, "--out", folder / "run"]


def imported(folder: Path, saved: dict, args: dict, *more: object) -> Path:
    """The run that such a checkpoint becomes."""
    fpa_ok("import-official", *write(folder, saved, args), *more, cwd=folder)
    return folder / "run"
