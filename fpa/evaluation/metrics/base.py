"""What a metric declares, and what it is computed from."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fpa.evaluation.estimate import Estimate

if TYPE_CHECKING:
    from fpa.evaluation.distances import Gaussian
    from fpa.evaluation.precision_recall import Covered
    from fpa.evaluation.scores import Pair, Settings


@dataclass(frozen=True)
class Measurement:
    """The features that a model is scored by, and intermediate results that metrics share."""

    main: "Pair"
    """Real and generated images in the protocol's feature space."""
    libraries: "tuple[Pair, Pair] | None"
    """The same images by clean-fid and by torch-fidelity, where there is a cross-check."""
    settings: "Settings"
    real_covered: "Covered | None" = None
    """What the real images cover, for precision and recall, where it is known already."""
    real_moments: "Gaussian | None" = None
    """Of all real images, where `main` holds only a part of them."""

    @property
    def torch_fidelity(self) -> "Pair | None":
        """torch-fidelity's features."""
        return self.libraries[1] if self.libraries else None

    @cached_property
    def frechet(self) -> tuple[Estimate, Estimate | None]:
        """The Fréchet distance, and its limit for infinitely many samples if there is one."""
        from fpa.evaluation import extrapolation

        settings = self.settings
        return extrapolation.frechet_estimates(
            self.main.real.values,
            self.main.fake.values,
            settings.groups,
            settings.seed,
            settings.frechet,
            self.real_moments,
        )

    @cached_property
    def precision_recall(self) -> tuple[Estimate, Estimate] | None:
        """Precision and recall, of as many real images as generated ones; None for too few."""
        from fpa.evaluation import precision_recall as pr

        real, fake = self.main.real.values, self.main.fake.values
        n, seed = pr.images(len(real), len(fake)), self.settings.seed
        if n <= pr.NEIGHBOURS:
            return None
        covered = self.real_covered or pr.real_subset(real, n, seed)
        chosen = fake[pr.subset(len(fake), len(covered.centres), seed)]
        precision, recall = pr.precision_recall(covered, chosen)
        return Estimate(precision, math.nan), Estimate(recall, math.nan)


@dataclass(frozen=True)
class Metric:
    """A metric's registration: all that tables, figures and checks need to know about it."""

    name: str
    """In configurations and score files."""
    label: str
    """In tables and figures."""
    lower_is_better: bool
    compute: Callable[[Measurement], Mapping[str, Estimate]]
    """Its value under its name, and further ones (another library's value) under names of theirs;
    empty where it cannot be computed. Heavy imports belong inside."""
    scale: float = 1.0
    """Factor by which tables and figures multiply it; score files and CSVs keep plain values."""
    digits: int = 2
    """Decimal places in tables."""
    drawn: bool = False
    """Whether the figure of scores has a panel for it."""
    table: bool = False
    """Whether it has a table to itself."""
    needs: str = ""
    """What it cannot be computed without, for the caption of a table that lacks it."""
    uses_real_radii: bool = False
    """Whether it looks at the neighbourhoods of real images, which are kept beside their features."""
    needs_cross_check: bool = False
    """Whether it is computed from torch-fidelity's features; left out where there are none."""
