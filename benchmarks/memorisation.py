"""What the test for copied training images finds: on real digits, with copies put among them.

    python benchmarks/memorisation.py DATA/digits-...         a prepared data set; a minute for digits

Half of the images are the training set, the others stand for a model's samples. First nothing is
copied, for many random halves: p should be spread evenly. Then a share of the samples is replaced by
training images, exact or with noise (standard deviation in 8-bit steps).
"""

import argparse
from pathlib import Path

import numpy as np

from fpa.data.store import open_store
from fpa.evaluation import evaluate
from fpa.evaluation.memorisation import Memorisation, memorisation, search


def test(train: np.ndarray, samples: np.ndarray) -> Memorisation:
    """Of features; the images themselves are only for a figure."""
    pictures = np.zeros((max(len(train), len(samples)), 1, 1, 1), np.uint8)
    found = search(train, samples, pictures, pictures, 1)
    result = memorisation(found["distance"], found["real_distance"])
    if result is None:
        raise SystemExit("too few images")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="folder of a prepared data set")
    parser.add_argument("--protocol", default="quick")
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()
    place = evaluate.EvaluationContext(options.store.parent)
    protocol = evaluate.resolve(options.protocol)
    values = np.array(place.real_features(options.store, protocol)[0].values)
    images, _ = open_store(options.store)
    random, half = np.random.default_rng(0), len(values) // 2

    p = []
    for _ in range(options.trials):
        order = random.permutation(len(values))
        p.append(test(values[order[:half]], values[order[half:]]).p)
    print("no copies, p:", " ".join(f"{value:.3f}" for value in sorted(p)))

    order = random.permutation(len(values))
    train, fresh = order[:half], order[half:]
    for share in (0.01, 0.02, 0.05, 0.2):
        count = int(share * len(fresh))
        for noise in (0, 2, 8):
            change = random.normal(0, noise, (count, *images.shape[1:])).round()
            copies = np.clip(images[train[:count]] + change, 0, 255).astype(np.uint8)
            features = place.features(copies, protocol, f"copies with noise {noise}").values
            found = test(values[train], np.concatenate([features, values[fresh[count:]]]))
            print(
                f"{share:.0%} copies, noise {noise}: {found.share:.1%} close, p {found.p:.2g}, "
                f"{'found' if found.copies else 'not found'}"
            )


if __name__ == "__main__":
    main()
