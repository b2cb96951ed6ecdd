"""Feature networks, which turn images into the vectors that distances are measured between.

A network is one file with one `FeatureNetwork` (see `base`) and one registration below. A plugin
registers its networks in the same way. A configuration names a network, and its input size where
there is a choice, as in `efficientnet_lite0-96px`: the size changes every distance. Nothing here
imports torch before a network is loaded.
"""

from fpa.evaluation.extractors.base import EXTRACTORS, PAIRS, FeatureNetwork, find_extractor
from fpa.evaluation.extractors.clip import CLIP, VARIANTS
from fpa.evaluation.extractors.dinov2 import WIDTHS, DINOv2
from fpa.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0
from fpa.evaluation.extractors.files import obtain, read_about, weights_path
from fpa.evaluation.extractors.inception_v3 import InceptionV3
from fpa.evaluation.extractors.loading import load
from fpa.evaluation.extractors.lpips import LPIPS
from fpa.evaluation.extractors.vgg16 import VGG16

__all__ = [
    "EXTRACTORS",
    "PAIRS",
    "FeatureNetwork",
    "find_extractor",
    "load",
    "obtain",
    "read_about",
    "weights_path",
]

EXTRACTORS.register("inception_v3", InceptionV3())
EXTRACTORS.register("efficientnet_lite0", EfficientNetLite0())
for _name in WIDTHS:
    EXTRACTORS.register(_name, DINOv2(_name))
for _name in VARIANTS:
    EXTRACTORS.register(_name, CLIP(_name))
EXTRACTORS.register("vgg16", VGG16())
EXTRACTORS.register("lpips_vgg16", LPIPS())
