"""Train a network for normal clusters in the plane, and judge it against long chains.

For held-out data sets of 16 and of 64 observations: how many of a thousand draws of the network
are worth one of the posterior, whether their importance weights can be trusted, and how far P(k)
and the partitions are from those of a long chain, before and after the correction. Beside it the
same without any training: the urn's rule and the exact predictive density, item by item.

    python examples/amortized_gaussian.py [--minutes 4] [--data-sets 40] [--device auto]
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
SIZES = (16, 64)
DRAWS = 1_000
COMPARED = 10  # data sets with a long chain beside, and as many draws
CHAIN = 2_000


def build_model(n: int) -> pm.Model:
    """Clusters of unit spread in the plane, their centres around the origin."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, 2.0)
        mu = pm.Normal("mu", 0.0, 3.0, shape=(20, 2))
        z = dps.ChineseRestaurantProcess("z", alpha, K=20, shape=n)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros((n, 2)))
    return model


def chain(y: np.ndarray, seed: int) -> Draws:
    """A long chain of Neal's Algorithm 3, thinned."""
    with build_model(len(y)) as model:
        dps.amortized.with_data(model, {"y": y})
        step = dps.Neal3(sweeps=5)
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
    sizes, reliable, distances, ms = [], [], [], []
    for d, y in enumerate(data):
        draws = CHAIN if d < len(chains) else DRAWS
        start = perf_counter()
        drawn = posterior.draw(y, draws, random_seed=d)
        ms.append(1e3 * (perf_counter() - start) / draws)
        found = dps.amortized.importance(drawn)
        sizes.append(found.ess / draws)
        reliable.append(found.reliable)
        if d < len(chains):
            raw = compare(Draws(drawn.labels), chains[d], rng=rng)
            weighted = compare(Draws(drawn.labels, weights=found.weights), chains[d], rng=rng)
            distances.append(
                {
                    "P(k) raw": raw["total_variation"].sel(pair="sample").item(),
                    "P(k) corrected": weighted["total_variation"].sel(pair="sample").item(),
                    "P(k) chain halves": raw["total_variation"].sel(pair="floor").item(),
                    "C2ST raw": raw["c2st"].sel(pair="sample").item(),
                    "C2ST corrected": weighted["c2st"].sel(pair="sample").item(),
                    "C2ST chain halves": raw["c2st"].sel(pair="floor").item(),
                }
            )
    return {
        "ESS per draw": np.median(sizes),
        "k-hat fine": np.mean(reliable),
        "ms per draw": np.median(ms),
        **pd.DataFrame(distances).median().to_dict(),
    }


def main(minutes: float, data_sets: int, device: str) -> pd.DataFrame:
    """Train, judge, print and save the table."""
    start = perf_counter()
    trained = dps.amortized.train(
        build_model,
        n=(SIZES[0], SIZES[-1]),
        budget=60.0 * minutes,
        accelerator=device,
        random_seed=1,
    )
    print(f"Trained in {perf_counter() - start:.0f} s on {trained.device}.")
    untrained = dps.amortized.AmortizedPosterior(build_model, trained.n, device=str(trained.device))
    rows = {}
    for n in SIZES:
        trained.simulator.seed(2)  # other data sets than those it was trained on
        data = list(trained.simulator.draw(data_sets).observed["y"][:, :n])
        chains = [chain(y, seed) for seed, y in enumerate(data[:COMPARED])]
        for name, posterior in (("network", trained), ("exact predictive", untrained)):
            rows[n, name] = judge(posterior, data, chains)
    table = pd.DataFrame(rows).T
    table.index.names = ["n", "proposal"]
    print(table.to_string(float_format="{:.3f}".format))
    OUTPUT.mkdir(exist_ok=True)
    table.to_csv(OUTPUT / "amortized_gaussian.csv")
    trained.save(OUTPUT / "amortized_gaussian")
    print(f"{perf_counter() - start:.0f} s in all.")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="of training")
    parser.add_argument("--data-sets", type=int, default=40, help="held out, of each size")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args()
    main(options.minutes, options.data_sets, options.device)
