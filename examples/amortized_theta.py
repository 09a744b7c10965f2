"""A diffusion over the parameters of all items, for kernels with and without a conjugate pair.

For held-out data sets of 24 observations: how often an interval of 90% probability holds the true
parameter; how far means and standard deviations of the draws are from those of a long chain, in
value space and standard deviations of the prior; how far the draws are from ties, and P(k) of the
partitions made of them from that of the chain. The columns "halves" are distances between the two
halves of the chain.

    python examples/amortized_theta.py [--minutes 3] [--data-sets 8] [--device auto]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm

import pymc_dpsteps as dps

OUTPUT = Path(__file__).parent / "output"
N = 24
DRAWS = 400
K = 20


def normal_mean(n: int) -> pm.Model:
    """Clusters of known spread in the plane."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 3.0, shape=(K, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros((n, 2)))
    return model


def normal_variance(n: int) -> pm.Model:
    """Clusters that differ in their scale alone."""
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 2.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Normal("y", 0.0, sigma[z][:, None], observed=np.zeros((n, 2)))
    return model


def normal_both(n: int) -> pm.Model:
    """Mean and scale differ; no conjugate pair."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 3.0, shape=(K, 2))
        sigma = pm.HalfNormal("sigma", 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Normal("y", mu[z], sigma[z][:, None], observed=np.zeros((n, 2)))
    return model


def exponential(n: int) -> pm.Model:
    """Rates of waiting times."""
    with pm.Model() as model:
        rate = pm.Gamma("rate", 1.0, 1.0, shape=K)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Exponential("y", rate[z], observed=np.ones(n))
    return model


def dirichlet(n: int) -> pm.Model:
    """Compositions of three parts, seen by counts of 20."""
    with pm.Model() as model:
        p = pm.Dirichlet("p", np.ones(3), shape=(K, 3))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=K, shape=n)
        pm.Multinomial("y", 20, p[z], observed=np.tile([8, 6, 6], (n, 1)))
    return model


KERNELS = {
    f.__name__: f for f in (normal_mean, normal_variance, normal_both, exponential, dirichlet)
}


def chain(
    posterior: dps.amortized.ThetaPosterior, y: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and parameters of items in value space, from a long chain."""
    model = dps.amortized.with_data(posterior.build_model(len(y)), {"y": y})
    options = {"chains": 1, "cores": 1, "progressbar": False, "quiet": True}
    with model:
        step = dps.Neal8(m=3, sweeps=3)
        idata = pm.sample(
            2_000,
            tune=500,
            step=step,
            random_seed=seed,
            compute_convergence_checks=False,
            **options,
        )
    z, draw = idata["posterior"]["z"].values[0], np.arange(2_000)[:, None]
    names = [atom.rv.name for atom in posterior.mixture.atoms]
    theta = {name: idata["posterior"][name].values[0][draw, z] for name in names}
    return z, posterior.parameters.rows(theta)


def p_of_k(labels: np.ndarray) -> np.ndarray:
    """Distribution of the number of clusters."""
    return np.bincount(dps.partitions.n_clusters(labels), minlength=N + 1) / len(labels)


def distances(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Between draws of labels and of rows: squared, and total variation."""
    (labels, rows), (other_labels, other_rows) = first, second
    return {
        "mean": ((rows.mean(0) - other_rows.mean(0)) ** 2).mean(),
        "sd": ((rows.std(0) - other_rows.std(0)) ** 2).mean(),
        "P(k)": 0.5 * np.abs(p_of_k(labels) - p_of_k(other_labels)).sum(),
    }


def judge(posterior: dps.amortized.ThetaPosterior, data_sets: int) -> dict[str, float]:
    """One row of the table."""
    posterior.simulator.seed(2)  # other data sets than those it was trained on
    drawn = posterior.simulator.draw(data_sets).first(N)
    truth = posterior.parameters.rows(drawn.theta())
    rows = []
    for d, y in enumerate(drawn.observed["y"]):
        theta = posterior.draw(y, DRAWS, random_seed=d)
        snapped = posterior.snap(theta, random_seed=d)
        found = snapped.labels, posterior.parameters.rows(theta)
        z, of_chain = chain(posterior, y, d)
        halves = [(z[part], of_chain[part]) for part in np.array_split(np.arange(2_000), 2)]
        low, high = np.quantile(found[1], [0.05, 0.95], axis=0)
        rows.append(
            {"coverage": ((low < truth[d]) & (truth[d] < high)).mean()}
            | distances(found, (z, of_chain))
            | {f"{name}, halves": x for name, x in distances(*halves).items()}
            | {"sd of chain": of_chain.var(0).mean(), "snap error": np.median(snapped.error)}
        )
    table = pd.DataFrame(rows).mean()
    for name in ("mean", "sd", "mean, halves", "sd, halves", "sd of chain"):
        table[name] = np.sqrt(table[name])
    return dict(table)


def main(minutes: float, data_sets: int, device: str) -> pd.DataFrame:
    """Train, judge, print and save the table."""
    rows = {}
    for name, build_model in KERNELS.items():
        posterior = dps.amortized.ThetaPosterior(build_model, (N, N))
        dps.amortized.fit(posterior, budget=60.0 * minutes, accelerator=device, random_seed=1)
        rows[name] = judge(posterior, data_sets)
    table = pd.DataFrame(rows).T
    print(table.to_string(float_format="{:.3f}".format))
    OUTPUT.mkdir(exist_ok=True)
    table.to_csv(OUTPUT / "amortized_theta.csv")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, each kernel")
    parser.add_argument("--data-sets", type=int, default=8, help="held out, of each kernel")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    given = parser.parse_args()
    main(given.minutes, given.data_sets, given.device)
