"""The published implementations' vectors, and their parameter names put into ours."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

DATA = Path(__file__).parent / "data"

PAINTER = [
    (r"^latent_to_init\.", "program.inputs.to_state."),
    (r"^input_generator\.", "program.inputs.to_mini."),
    (r"^per_time_linear_input\.", "program.inputs.to_input."),
    (r"^decoder_rnn\.", "program.sequence.lstm."),
    (r"^kvb_net\.", "program.to_kvb."),
    (r"^wide_net\.", "program.wide."),
    (r"^decoder_time_enc$", "program.position_codes"),
    (r"^learned_init$", "initial"),
    (r"^transformer_encoder\.", "program.sequence.layers."),
    (r"^latent_to_input\.", "program.sequence.to_width."),
    (r"^rfwp_layers\.", "program.sequence.layers."),
    (r"^ff_layers\.", "program.sequence.feedforward."),
    (r"\.slow_net\.", ".projection."),
    (r"\.out_linear\.", ".out."),
    (r"\.layer_norm\.", ".norm."),
    (r"\.ff_layers\.0\.", ".layers.0."),
    (r"\.ff_layers\.3\.", ".layers.2."),
]
UNET = [
    (r"^init_conv\.", "first."),
    (r"^downs\.(\d)\.3\.", r"shrink.\1."),
    (r"^ups\.(\d)\.3\.", r"grow.\1."),
    (r"^downs\.", "down."),
    (r"^ups\.", "up."),
    (r"^((?:down|up)\.\d)\.0\.", r"\1.block1."),
    (r"^((?:down|up)\.\d)\.1\.", r"\1.block2."),
    (r"^((?:down|up)\.\d)\.2\.fn\.", r"\1.attention."),
    (r"^mid_block1\.", "middle.0."),
    (r"^mid_attn\.fn\.", "middle.1."),
    (r"^mid_block2\.", "middle.2."),
    (r"^final_res_block\.", "last."),
    (r"^final_conv\.", "to_image."),
    (r"\.proj\.", ".0."),
    (r"(block[12])\.norm\.", r"\1.1."),
    (r"res_conv\.", "skip."),
    (r"fn\.to_qkv\.", "qkv."),
    (r"fn\.to_out\.0\.", "out."),
    (r"fn\.to_out\.1\.", "out_norm."),
    (r"fn\.to_out\.", "out."),
    (r"norm\.g$", "norm.gain"),
    (r"norm\.b$", "norm.shift"),
]
ATTENTION = [
    (r"fn\.to_lin_q\.", "linear_q."),
    (r"fn\.to_lin_kv\.net\.", "linear_kv."),
    (r"fn\.to_q\.", "local_q."),
    (r"fn\.to_kv\.", "local_kv."),
    (r"fn\.to_out\.", "out."),
    (r"norm\.g$", "norm.gain"),
    (r"norm\.b$", "norm.shift"),
]
LIGHTGAN = [
    (r"^initial_conv\.", "start."),
    (r"^layers\.(\d)\.0\.2\.1\.", lambda m: f"grow.{int(m[1]) + 2}.conv."),
    (r"^layers\.(\d)\.0\.3\.", lambda m: f"grow.{int(m[1]) + 2}.noise."),
    (r"^layers\.(\d)\.0\.4\.", lambda m: f"grow.{int(m[1]) + 2}.norm."),
    (r"^out_conv\.", "to_image."),
    (r"^layers\.(\d)\.1\.to_k\.", lambda m: f"excite.{int(m[1]) + 3}.to_weights."),
    (r"^layers\.(\d)\.1\.net\.", lambda m: f"excite.{int(m[1]) + 3}.gate."),
    (r"^layers\.(\d)\.2\.", lambda m: f"attention.{int(m[1]) + 2}."),
    *ATTENTION,
]
STYLEGAN2_GENERATOR = [
    (r"^mapping\.fc", "mapping.layers."),
    (r"w_avg$", "w_average"),
    (r"^synthesis\.b4\.const$", "synthesis.constant"),
    (r"^synthesis\.b(\d+)\.", lambda m: f"synthesis.blocks.{int(m[1]).bit_length() - 3}."),
    (r"\.conv0\.", ".first."),
    (r"\.conv1\.", ".second."),
    (r"\.torgb\.", ".to_image."),
]
STYLEGAN2_DISCRIMINATOR = [
    (r"^b4\.conv\.", "convolution."),
    (r"^b4\.fc\.", "linear."),
    (r"^b4\.out\.", "output."),
    (r"^b32\.fromrgb\.", "from_image."),
    # The vectors' 32 px: blocks 0, 1, 2 are at 32, 16 and 8 px.
    (r"^b(\d+)\.", lambda m: f"blocks.{6 - int(m[1]).bit_length()}."),
    (r"\.conv0\.", ".first."),
    (r"\.conv1\.", ".second."),
]


def renamed(name: str, names: list) -> str:
    """Our name for a published one."""
    for pattern, ours in names:
        name = re.sub(pattern, ours, name)
    return name


class Reference:
    """One `.npz` of vectors."""

    def __init__(self, name: str) -> None:
        with np.load(DATA / f"reference_{name}.npz") as file:
            self.arrays = {k: torch.from_numpy(file[k]) for k in file.files if k != "config"}
            self.config = json.loads(str(file["config"])) if "config" in file else {}

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def load(self, module: nn.Module, names: list) -> None:
        """Put the published parameters into `module`; every one must find its place."""
        # Blur kernels are constants and noise is drawn: neither is state, with us.
        module.load_state_dict(
            {
                renamed(key.removeprefix("state/"), names): value
                for key, value in self.arrays.items()
                if key.startswith("state/") and not key.endswith(("resample_filter", "noise_const"))
            }
        )
