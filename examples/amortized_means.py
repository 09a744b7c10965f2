"""What a network that predicts E[θ_i | y] at once can do, and what it cannot.

For normal clusters of known spread, and held-out data sets of 8 and of 64 observations: the
squared error of the prediction for the true θ_i in variances of the prior, beside that of the
posterior mean from a long chain and of the best that can be said of an item from its own data; how
far the prediction is from the posterior mean, and how far that is from θ_i under the most probable
partition that the chain met. Then sets of components, by the best matching and by Chamfer's
distance.

    python examples/amortized_means.py [--minutes 2] [--data-sets 20] [--device auto]
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pymc as pm

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.target import Target

OUTPUT = Path(__file__).parent / "output"
SIZES = RANGE = (8, 64)
SWEEPS = 4_000
SPREAD = 3.0


class Setting(NamedTuple):
    """Concentration, dimension and spread of a cluster; centres have the spread 3."""

    alpha: float = 1.0
    D: int = 2
    noise: float = 1.0

    def build_model(self, n: int) -> pm.Model:
        """Normal clusters around the origin."""
        with pm.Model() as model:
            mu = pm.Normal("mu", 0.0, SPREAD, shape=(40, self.D))
            z = dps.ChineseRestaurantProcess("z", self.alpha, K=40, shape=n)
            pm.Normal("y", mu[z], self.noise, observed=np.zeros((n, self.D)))
        return model

    def mean_given(self, y: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """E[θ_i | c, y] for partitions, shape (draws, n, D)."""
        together = (labels[:, :, None] == labels[:, None, :]).astype(float)
        return together @ y / (together.sum(2, keepdims=True) + (self.noise / SPREAD) ** 2)

    def chain(self, y: np.ndarray, seed: int) -> np.ndarray:
        """Partitions from a long chain of Neal's Algorithm 3."""
        with self.build_model(len(y)) as model:
            dps.amortized.with_data(model, {"y": y})
            step = dps.Neal3(sweeps=2)
        step.setup_chain(np.random.default_rng(seed), 500, SWEEPS)
        point = model.initial_point()
        labels = []
        for sweep in range(-500, SWEEPS):
            if sweep == 0:
                step.stop_tuning()
            point, _ = step.step(point)
            if sweep >= 0:
                labels.append(point["z"])
        return np.array(labels)


SETTINGS = {
    "base": Setting(),
    "alpha = 10": Setting(alpha=10.0),
    "D = 8": Setting(D=8),
    "wide kernel": Setting(noise=3.0),
}


def held_out(
    learner: dps.amortized.MeanPredictor | dps.amortized.ComponentPredictor, n: int, data_sets: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Data, labels and parameters of items of data sets that the network was not trained on."""
    learner.simulator.seed(2)
    drawn = learner.simulator.draw(data_sets).first(n)
    return list(zip(drawn.observed["y"], drawn.labels, drawn.theta()["mu"], strict=True))


def rms(x: np.ndarray) -> float:
    """Root mean square, in standard deviations of the prior."""
    return float(np.sqrt((x**2).mean()) / SPREAD)


def judge_means(
    setting: Setting, predictor: dps.amortized.MeanPredictor, n: int, data_sets: int
) -> dict[str, float]:
    """One row of the table of means."""
    rows = []
    target = predictor.target
    assert isinstance(target, Target)
    for seed, (y, _, truth) in enumerate(held_out(predictor, n, data_sets)):
        labels = setting.chain(y, seed)
        means = setting.mean_given(y, labels)
        first, second = np.array_split(means, 2)
        exact, found = means.mean(0), predictor.predict(y)["mu"]
        distinct = np.unique(labels, axis=0)
        log_p = target.log_prob(predictor.items_of(y), distinct)
        at_best = setting.mean_given(y, distinct[[log_p.argmax()]])[0]
        alone = y * SPREAD**2 / (SPREAD**2 + setting.noise**2)
        rows.append(
            {
                "alone": rms(alone - truth) ** 2,
                "chain": rms(exact - truth) ** 2,
                "network": rms(found - truth) ** 2,
                "network - chain": rms(found - exact) ** 2,
                "error of chain": rms(first.mean(0) - second.mean(0)) ** 2 / 4.0,
                "best partition - chain": rms(at_best - exact) ** 2,
                "network - best partition": rms(found - at_best) ** 2,
            }
        )
    table = pd.DataFrame(rows).mean()
    # The first three are squared errors, the others distances.
    table.iloc[3:] = np.sqrt(table.iloc[3:])
    return dict(table)


def judge_components(
    setting: Setting, predictor: dps.amortized.ComponentPredictor, n: int, data_sets: int
) -> dict[str, float]:
    """One row of the table of sets of components."""
    rows = []
    for seed, (y, labels, truth) in enumerate(held_out(predictor, n, data_sets)):
        found = predictor.predict(y)
        sure = found.theta["mu"][found.probability > 0.5]
        _, items, counts = np.unique(labels, return_index=True, return_counts=True)
        centres = truth[items[counts >= 4]]
        distances = np.linalg.norm(sure[:, None] - centres, axis=2)
        near = distances < 2.0 * setting.noise
        chain = dps.partitions.n_clusters(setting.chain(y, seed))
        rows.append(
            {
                "E[k | y]": chain.mean(),
                "sum of p": found.probability.sum(),
                "slots with p > 1/2": len(sure),
                "clusters of 4 or more": len(centres),
                "found": near.any(0).sum() if len(sure) else 0,
            }
        )
    return dict(pd.DataFrame(rows).mean())


def main(minutes: float, data_sets: int, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train, judge, print and save the tables."""
    train = partial(dps.amortized.fit, budget=60.0 * minutes, accelerator=device, random_seed=1)
    means, components = {}, {}
    for name, setting in SETTINGS.items():
        predictor = train(dps.amortized.MeanPredictor(setting.build_model, RANGE))
        for n in SIZES:
            means[name, n] = judge_means(setting, predictor, n, data_sets)
    setting = SETTINGS["base"]
    for matching in ("hungarian", "chamfer"):
        slots = train(
            dps.amortized.ComponentPredictor(setting.build_model, RANGE, matching=matching)
        )
        for n in SIZES:
            components[matching, n] = judge_components(setting, slots, n, data_sets)
    tables = pd.DataFrame(means).T, pd.DataFrame(components).T
    OUTPUT.mkdir(exist_ok=True)
    for table, name in zip(tables, ("amortized_means", "amortized_components"), strict=True):
        print(table.to_string(float_format="{:.3f}".format))
        table.to_csv(OUTPUT / f"{name}.csv")
    return tables


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, each network")
    parser.add_argument("--data-sets", type=int, default=20, help="held out, of each size")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    given = parser.parse_args()
    main(given.minutes, given.data_sets, given.device)
