"""How far training brings a model: Fréchet distance of its samples, untrained over trained.

    python benchmarks/untrained.py results/runs/digits/fpa/seed0-...

Both generators are scored alike: same real features, same number of samples, same latents. Half a
minute on two cores for the default experiment.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from fpa.evaluation import extractors, features, sampling, scores
from fpa.files import read_json
from fpa.runs import Run, build_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished and scored run")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the data folder (data)")
    options = parser.parse_args()
    (path,) = options.run.glob("score-*.json")
    score = read_json(path)
    run = Run.from_config(read_json(options.run / "run.json"))
    name = score["extractor"]
    extractor = extractors.load(options.data / "extractors" / f"{name}.json", torch.device("cpu"))
    real, _ = features.load(options.data / run.store / f"features-{name}.npz")
    torch.manual_seed(run.seed)
    model = build_model(run)
    images = sampling.sample(
        model.ema, model.latent_dim, score["n_fake"], score["sample_seed"], torch.device("cpu")
    )
    untrained = scores.frechet(real, features.compute(np.asarray(images), extractor))
    print(f"{name}, {score['n_real']} real and {score['n_fake']} generated images")
    print(f"untrained  {untrained:10.2f}")
    print(f"trained    {score['fid']:10.2f}")
    print(f"ratio      {untrained / score['fid']:10.1f}")


if __name__ == "__main__":
    sys.exit(main())
