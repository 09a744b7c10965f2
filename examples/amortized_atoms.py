"""Train a network for normal clusters of unknown mean and spread, which have no conjugate pair.

The atoms of a cluster are a part of what the network draws. For held-out data sets of 8 and of 32
observations: how many of a thousand draws are worth one of the posterior, whether their importance
weights can be trusted, and how far P(k) is from that of a long chain of Neal's Algorithm 8, before
and after the correction, and by a thousand branches that are resampled on the way; beside it the
distance between the halves of that chain, and the same without any training.

    python examples/amortized_atoms.py [--minutes 4] [--data-sets 20] [--device auto]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pymc as pm

import pymc_dpsteps as dps
from pymc_dpsteps.amortized.check import Draws, compare

OUTPUT = Path(__file__).parent / "output"
SIZES = (8, 32)
DRAWS = 1_000
CHAIN = 4_000


def build_model(n: int) -> pm.Model:
    """Mean and standard deviation of every cluster independent: the model of the galaxies."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, 4.0)
        mu = pm.Normal("mu", 20.0, 10.0, shape=20)
        sigma = pm.HalfNormal("sigma", 3.0, shape=20)
        z = dps.ChineseRestaurantProcess("z", alpha, K=20, shape=n)
        pm.Normal("y", mu[z], sigma[z], observed=np.zeros(n))
    return model


def chain(y: np.ndarray, seed: int) -> Draws:
    """A long chain, thinned."""
    with build_model(len(y)) as model:
        dps.amortized.with_data(model, {"y": y})
        step = dps.Neal8(m=3, sweeps=10)
    step.setup_chain(np.random.default_rng(seed), 200, CHAIN)
    point = model.initial_point()
    labels = []
    for sweep in range(-200, CHAIN):
        if sweep == 0:
            step.stop_tuning()
        point, _ = step.step(point)
        if sweep >= 0:
            labels.append(point["z"])
    return Draws(np.array(labels))


def judge(
    posterior: dps.amortized.AmortizedPosterior, data: list[np.ndarray], chains: list[Draws]
) -> dict[str, float]:
    """One row of the table: medians over data sets of one size."""
    rng = np.random.default_rng(0)
    rows = []
    for d, (y, reference) in enumerate(zip(data, chains, strict=True)):
        start = perf_counter()
        drawn = posterior.draw(y, DRAWS, random_seed=d)
        ms = 1e3 * (perf_counter() - start) / DRAWS
        found = dps.amortized.importance(drawn)
        raw = compare(Draws(drawn.labels), reference, rng=rng)
        weighted = compare(Draws(drawn.labels, weights=found.weights), reference, rng=rng)
        branches = posterior.branch(y, DRAWS, random_seed=d)
        of_branches = Draws(branches.labels, weights=dps.amortized.importance(branches).weights)
        resampled = compare(of_branches, reference, rng=rng)
        rows.append(
            {
                "ESS per draw": found.ess / DRAWS,
                "k-hat fine": found.reliable,
                "ms per draw": ms,
                "P(k) raw": raw["total_variation"].sel(pair="sample").item(),
                "P(k) corrected": weighted["total_variation"].sel(pair="sample").item(),
                "P(k) branches": resampled["total_variation"].sel(pair="sample").item(),
                "P(k) chain halves": raw["total_variation"].sel(pair="floor").item(),
            }
        )
    table = pd.DataFrame(rows)
    return {**table.median().to_dict(), "k-hat fine": table["k-hat fine"].mean()}


def main(minutes: float, data_sets: int, device: str) -> pd.DataFrame:
    """Train, judge, print and save the table."""
    trained = dps.amortized.train(
        build_model, n=SIZES, budget=60.0 * minutes, accelerator=device, random_seed=1
    )
    untrained = dps.amortized.AmortizedPosterior(build_model, SIZES, device=str(trained.device))
    OUTPUT.mkdir(exist_ok=True)
    trained.save(OUTPUT / "amortized_atoms")
    rows = {}
    for n in SIZES:
        trained.simulator.seed(2)  # other data sets than those it was trained on
        data = list(trained.simulator.draw(data_sets).observed["y"][:, :n])
        chains = [chain(y, seed) for seed, y in enumerate(data)]
        for name, posterior in (("network", trained), ("untrained", untrained)):
            rows[n, name] = judge(posterior, data, chains)
    table = pd.DataFrame(rows).T
    table.index.names = ["n", "proposal"]
    print(table.to_string(float_format="{:.3f}".format))
    table.to_csv(OUTPUT / "amortized_atoms.csv")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="of training")
    parser.add_argument("--data-sets", type=int, default=20, help="held out, of each size")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args()
    main(options.minutes, options.data_sets, options.device)
