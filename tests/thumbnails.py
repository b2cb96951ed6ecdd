"""Networks without weights, as a plugin: jobs whose features do not matter take seconds less."""

from pathlib import Path

from fpa.evaluation.extractors import EXTRACTORS, PAIRS, FeatureNetwork


class Thumbnails(FeatureNetwork):
    """The image itself, at 4 x 4 px."""

    name, features, sizes = "thumbnails", 48, (16, 64)

    def obtain(self, configured, folder):
        # Nothing is read from it; a file that is the same everywhere.
        return {"state_dict": Path(__file__)}

    def load(self, weights, size, resize):
        from torch import nn

        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())


class Squared(FeatureNetwork):
    """The mean square of two images' difference."""

    name, features, sizes, default_size, resizes = "squared", 0, (8, 8), 8, (PAIRS,)
    obtain = Thumbnails.obtain

    def load(self, weights, size, resize):
        raise NotImplementedError

    def load_pairs(self, weights):
        from torch import nn

        distance = nn.Module()
        distance.forward = lambda one, two: ((one - two) ** 2).mean(dim=(1, 2, 3))
        return distance


EXTRACTORS.register("thumbnails", Thumbnails())
EXTRACTORS.register("squared", Squared())
