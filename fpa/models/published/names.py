"""Our parameters' names as the public code calls them.

Each table holds (pattern, replacement) pairs that are applied to a name one after the other.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from fpa.models.discriminator import Discriminator
from fpa.models.layers import DualAttention
from fpa.models.painter import Painter
from fpa.models.unet import RefinedPainter

Names = Mapping[str, str]
"""Every name of a network's state dict -> its public name."""
Replacement = str | Callable[[re.Match[str]], str]
Table = Sequence[tuple[str, Replacement]]

PAINTER: Table = [
    (r"^program\.inputs\.to_state\.", "latent_to_init."),
    (r"^program\.inputs\.to_mini\.", "input_generator."),
    (r"^program\.inputs\.to_input\.", "per_time_linear_input."),
    (r"^program\.sequence\.lstm\.", "decoder_rnn."),
    (r"^program\.wide\.", "wide_net."),
    (r"^program\.to_kvb\.", "kvb_net."),
    (r"^program\.position_codes$", "decoder_time_enc"),
    (r"^initial$", "learned_init"),
]
TRANSFORMER: Table = [
    (r"^program\.sequence\.layers\.", "transformer_encoder."),
    (r"\.layers\.0\.", ".ff_layers.0."),
    (r"\.layers\.2\.", ".ff_layers.3."),
    (r"\.projection\.", ".slow_net."),
    (r"\.out\.", ".out_linear."),
    (r"\.norm\.", ".layer_norm."),
]
RFWP: Table = [
    (r"^program\.sequence\.to_width\.", "latent_to_input."),
    (r"^program\.sequence\.layers\.", "rfwp_layers."),
    (r"^program\.sequence\.feedforward\.", "ff_layers."),
    *TRANSFORMER[1:],
]
ADDITIVE: Table = [(r"^kvb_net\.", "kv_net.")]
"""The additive painter's layer makes no rates."""

CHAN_NORM: Table = [(r"norm\.gain$", "norm.g"), (r"norm\.shift$", "norm.b")]
UNET: Table = [
    (r"^first\.", "init_conv."),
    (r"^shrink\.(\d+)\.", r"downs.\1.3."),
    (r"^grow\.(\d+)\.", r"ups.\1.3."),
    (r"^(down|up)\.", r"\1s."),
    (r"^middle\.0\.", "mid_block1."),
    (r"^middle\.1\.", "mid_attn."),
    (r"^middle\.2\.", "mid_block2."),
    (r"^last\.", "final_res_block."),
    (r"^to_image\.", "final_conv."),
    # The attention's own layers stand in a PreNorm in a Residual; the linear one's output in a list.
    (r"^(mid_attn|(?:downs|ups)\.\d+\.attention)\.qkv\.", r"\1.fn.fn.to_qkv."),
    (r"^mid_attn\.out\.", "mid_attn.fn.fn.to_out."),
    (r"\.attention\.out\.", ".attention.fn.fn.to_out.0."),
    (r"\.out_norm\.gain$", ".fn.fn.to_out.1.g"),
    (r"\.out_norm\.shift$", ".fn.fn.to_out.1.b"),
    (r"^(mid_attn|(?:downs|ups)\.\d+\.attention)\.norm\.", r"\1.fn.norm."),
    *CHAN_NORM,
    # Convolution and group norm; then the blocks, innermost first.
    (r"(block[12])\.0\.", r"\1.proj."),
    (r"(block[12])\.1\.", r"\1.norm."),
    (r"\.skip\.", ".res_conv."),
    (r"^((?:downs|ups)\.\d+)\.block1\.", r"\1.0."),
    (r"^((?:downs|ups)\.\d+)\.block2\.", r"\1.1."),
    (r"^((?:downs|ups)\.\d+)\.attention\.", r"\1.2."),
]
ATTENTION: Table = [
    (r"\.linear_q\.", ".fn.to_lin_q."),
    (r"\.linear_kv\.", ".fn.to_lin_kv.net."),
    (r"\.local_q\.", ".fn.to_q."),
    (r"\.local_kv\.", ".fn.to_kv."),
    (r"\.out\.", ".fn.to_out."),
    *CHAN_NORM,
]
LIGHTGAN: Table = [
    (r"^start\.", "initial_conv."),
    (r"^attention\.(\d+)\.", lambda m: f"layers.{int(m[1]) - 2}.2."),
    *ATTENTION,
    (r"^grow\.(\d+)\.conv\.", lambda m: f"layers.{int(m[1]) - 2}.0.2.1."),
    (r"^grow\.(\d+)\.noise\.", lambda m: f"layers.{int(m[1]) - 2}.0.3."),
    (r"^grow\.(\d+)\.norm\.", lambda m: f"layers.{int(m[1]) - 2}.0.4."),
    (r"^excite\.(\d+)\.to_weights\.", lambda m: f"layers.{int(m[1]) - 3}.1.to_k."),
    (r"^excite\.(\d+)\.gate\.", lambda m: f"layers.{int(m[1]) - 3}.1.net."),
    (r"^to_image\.", "out_conv."),
]


def painter(network: Painter, prefix: str = "") -> Names:
    """Of a painter's state dict, ours beginning with `prefix`."""
    settings = network.settings
    table = [*PAINTER, *{"transformer": TRANSFORMER, "rfwp": RFWP}.get(settings.sequence, ())]
    if settings.rule == "additive":
        table += ADDITIVE
    return {f"{prefix}{name}": _published(name, table) for name in network.state_dict()}


def refined(network: RefinedPainter) -> Names:
    """Of a painter with its U-Net."""
    unet = {f"unet.{name}": f"u_net.{_published(name, UNET)}" for name in network.unet.state_dict()}
    return {**painter(network.painter, "painter."), **unet}


def lightgan(network: nn.Module) -> Names:
    """Of LightGAN's generator."""
    return {name: _published(name, LIGHTGAN) for name in network.state_dict()}


def discriminator(network: Discriminator) -> Names:
    """Of a discriminator, whose features are one list of attention and halving layers here."""
    places: list[str] = []
    level = 0
    for layer in network.features:
        attention = isinstance(layer, DualAttention)
        places.append(f"residual_layers.{level}.{int(attention)}.")
        level += not attention
    table: Table = [
        (r"^features\.(\d+)\.", lambda m: places[int(m[1])]),
        (r"^to_logit\.", "to_logits."),
        (r"^view_to_logit\.([13])\.", r"to_shape_disc_out.\1.fn."),
        (r"^view_to_logit\.", "to_shape_disc_out."),
        (r"^decoder\.(\d+)\.", lambda m: f"decoder1.layers.{int(m[1]) // 3}.1."),
        (r"\.convs\.", ".branches.0."),
        (r"\.pool\.", ".branches.1."),
        *ATTENTION,
    ]
    return {name: _published(name, table) for name in network.state_dict()}


def _published(name: str, table: Table) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name
