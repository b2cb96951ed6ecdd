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

from fpa.core.files import read_json
from fpa.evaluation import distances, extractors, features, sampling
from fpa.runs.run import Run, build_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished and scored run")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the data folder (data)")
    options = parser.parse_args()
    path, *_ = sorted(options.run.glob("score-*.json"))
    score = read_json(path)
    run = Run.from_json(read_json(options.run / "run.json"))
    name = score["extractor"]
    extractor = extractors.load(
        options.data / "extractors" / f"{name}.json", score["resize"], torch.device("cpu")
    )
    space = f"{name}.{score['resize']}.{score['format']}"
    real = features.load(options.data / run.store / f"features.{space}.npy").values
    torch.manual_seed(run.seed)
    model = build_model(run)
    chunks = sampling.sample_chunks(
        *(model.ema, model.latent_dim, score["n_fake"], score["settings"]["seed"]),
        torch.device("cpu"),
    )
    fake = np.concatenate([features.extract(images, extractor) for images, _ in chunks])
    untrained, trained = distances.frechet_of(real, fake), score["metrics"]["fid"]["value"]
    print(f"{name}, {score['n_real']} real and {score['n_fake']} generated images")
    print(f"untrained  {untrained:10.2f}")
    print(f"trained    {trained:10.2f}")
    print(f"ratio      {untrained / trained:10.1f}")


if __name__ == "__main__":
    sys.exit(main())
