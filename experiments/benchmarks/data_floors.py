"""What must any network beat? Logistic regression and 3-nearest-neighbours on the very splits that a search sees.

    python experiments/benchmarks/data_floors.py experiments/digits.yaml experiments/flowers17.yaml

At most 3,000 training images are used, as more change little and cost minutes. The test split stays closed.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ecoNAS import ExperimentConfig
from ecoNAS.data.datasets import load_data

MAX_TRAINING_IMAGES = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", type=Path, nargs="+")
    print(f"{'experiment':16} {'train':>6} {'val':>5} {'logistic regression':>20} {'3-nearest-neighbours':>21}")
    for path in parser.parse_args().experiments:
        data = load_data(ExperimentConfig.from_yaml(path).data)
        chosen = np.random.default_rng(0).permutation(len(data.train))[:MAX_TRAINING_IMAGES]
        x = data.train.images[chosen].reshape(len(chosen), -1) / 255
        y = data.train.labels[chosen]
        x_validation = data.validation.images.reshape(len(data.validation), -1) / 255
        models = (LogisticRegression(max_iter=500), KNeighborsClassifier(3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged after 500 steps changes no digit here
            scores = [model.fit(x, y).score(x_validation, data.validation.labels) for model in models]
        print(f"{path.stem:16} {len(chosen):6} {len(data.validation):5} {scores[0]:20.3f} {scores[1]:21.3f}")


if __name__ == "__main__":
    main()
