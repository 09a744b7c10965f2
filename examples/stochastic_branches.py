"""Does a layer of stochastic branches pay? Beside plain transformers of equal size and equal work.

The Gaussian model of `amortized_gaussian.py`, 32 observations. The network with branches has four
perceptrons of a quarter of the usual hidden units each, a router and attention; the plain ones have
one perceptron, with as many hidden units as make the number of parameters, or of floating-point
operations, equal. All three are trained on the same batches for the same number of steps, and
judged on the same data sets; then again from another seed.

    python examples/stochastic_branches.py [--minutes 20] [--seeds 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import pymc as pm
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

import pymc_dpsteps as dps
from pymc_dpsteps.amortized import AmortizedPosterior, Schedule, Size
from pymc_dpsteps.amortized.allocation import AllocationNetwork
from pymc_dpsteps.amortized.allocation_training import AllocationBatch, allocation_loss
from pymc_dpsteps.amortized.branch_layer import branch_metrics
from pymc_dpsteps.amortized.training import Stream

OUTPUT = Path(__file__).parent / "output"
N_ITEMS = 32
BRANCHES = Size(branches=4, hidden=32)
SCHEDULE = Schedule(batch=16, places=8)
DRAWS = 200
DATA_SETS = 16
HELD_OUT = 100  # batches


def build_model(n: int) -> pm.Model:
    """Clusters of unit spread in the plane, their centres around the origin."""
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2.0, 2.0)
        mu = pm.Normal("mu", 0.0, 3.0, shape=(20, 2))
        z = dps.ChineseRestaurantProcess("z", alpha, K=20, shape=n)
        pm.Normal("y", mu[z], 1.0, observed=np.zeros((n, 2)))
    return model


def make_network(size: Size, batch: AllocationBatch) -> AllocationNetwork:
    """A network for such data sets that was not trained."""
    items, context, _ = batch.inputs
    return AllocationNetwork(items.shape[2], context.shape[1], **asdict(size))


def n_parameters(size: Size, batch: AllocationBatch) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in make_network(size, batch).parameters())


def n_operations(size: Size, batch: AllocationBatch) -> int:
    """Floating-point operations of the matrix products of one loss and its gradient."""
    with FlopCounterMode(display=False) as counter:
        allocation_loss(make_network(size, batch), batch).backward()
    return int(counter.get_total_flops())


def matched(count: Callable[[Size, AllocationBatch], int], batch: AllocationBatch) -> Size:
    """The plain size whose count comes closest; it is linear in the number of hidden units."""
    wanted, plain = count(BRANCHES, batch), replace(BRANCHES, branches=0)
    at_100, at_200 = (count(replace(plain, hidden=hidden), batch) for hidden in (100, 200))
    return replace(plain, hidden=round(100 + 100 * (wanted - at_100) / (at_200 - at_100)))


def train_together(
    networks: dict[str, AllocationNetwork], batches: Stream, seconds: float
) -> tuple[pd.DataFrame, dict[str, dict[str, Tensor]]]:
    """Train networks on the same batches until so many seconds are over.

    Returns
    -------
    pandas.DataFrame
        Steps, and milliseconds of a step, of each.
    dict of dict of Tensor
        Moving averages of the weights, as `train` keeps them.
    """
    optimizers, averages = {}, {}
    for name, network in networks.items():
        optimizers[name] = torch.optim.AdamW(network.parameters())
        average = get_ema_multi_avg_fn(SCHEDULE.averaging)
        averages[name] = AveragedModel(network, multi_avg_fn=average)
    start, steps, spent = perf_counter(), 0, dict.fromkeys(networks, 0.0)
    for batch in batches:
        done = (perf_counter() - start) / seconds
        if done >= 1.0:
            break
        warm = min(1.0, (steps + 1) / SCHEDULE.warmup)
        for name, network in networks.items():
            begin = perf_counter()
            network.train()
            for group in optimizers[name].param_groups:
                group["lr"] = SCHEDULE.learning_rate * warm * 0.5 * (1.0 + np.cos(np.pi * done))
            optimizers[name].zero_grad()
            allocation_loss(network, batch).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizers[name].step()
            averages[name].update_parameters(network)
            spent[name] += perf_counter() - begin
        steps += 1
    table = pd.DataFrame({"steps": steps, "ms per step": 1e3 * pd.Series(spent) / steps})
    return table, {name: average.module.state_dict() for name, average in averages.items()}


def judge(
    posterior: AmortizedPosterior, held_out: list[AllocationBatch], data: list[np.ndarray]
) -> dict[str, float]:
    """Loss and effective sample size per draw of one network; and what its branches do."""
    network = posterior.network
    with torch.no_grad():
        row = {
            "loss": float(np.mean([float(allocation_loss(network, batch)) for batch in held_out]))
        }
    drawn = [posterior.draw(y, DRAWS, random_seed=d) for d, y in enumerate(data)]
    row["ESS per draw"] = float(np.mean([dps.amortized.importance(x).ess / DRAWS for x in drawn]))
    if posterior.size.branches:
        with torch.no_grad():
            found = branch_metrics(network, lambda: allocation_loss(network, held_out[0]))
        layers = pd.DataFrame({name: asdict(metrics) for name, metrics in found.items()})
        row |= layers.mean(axis=1).to_dict()
    return row


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds and their standard errors; the same of the differences seed by seed."""
    parts = {name: x.droplevel("network") for name, x in rows.groupby(level="network", sort=False)}
    parts |= {
        f"branches − {name}": parts["branches"] - x
        for name, x in parts.items()
        if name != "branches"
    }
    table = pd.concat({name: x.agg(["mean", "sem"]).T for name, x in parts.items()})
    return table.dropna(subset="mean")


def main(minutes: float, seeds: int) -> pd.DataFrame:
    """Train, judge, print and save the table."""
    posterior = AmortizedPosterior(build_model, (N_ITEMS, N_ITEMS), size=BRANCHES)
    held_out = list(islice(Stream(posterior, SCHEDULE, 1), HELD_OUT))
    posterior.simulator.seed(2)  # other data sets than those of training
    data = list(posterior.simulator.draw(DATA_SETS).observed["y"])
    sizes = {
        "branches": BRANCHES,
        "equal parameters": matched(n_parameters, held_out[0]),
        "equal operations": matched(n_operations, held_out[0]),
    }
    posteriors = {
        name: AmortizedPosterior(build_model, posterior.n, size=size)
        for name, size in sizes.items()
    }
    for name, size in sizes.items():
        counts = [count(size, held_out[0]) for count in (n_parameters, n_operations)]
        print(f"{name}: {size}, {counts[0]:,} parameters, {counts[1] / 1e9:.3f} GFLOP a step")
    print("untrained", judge(posterior, held_out, data))
    rows = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        networks = {name: make_network(size, held_out[0]) for name, size in sizes.items()}
        stream = Stream(posterior, SCHEDULE, 3 + seed)
        trained, weights = train_together(networks, stream, 60.0 * minutes / seeds)
        for name, one in posteriors.items():
            one.network.load_state_dict(weights[name])
            rows[seed, name] = trained.loc[name].to_dict() | judge(one, held_out, data)
            print(seed, name, {key: round(x, 4) for key, x in rows[seed, name].items()}, flush=True)
    result = pd.DataFrame(rows).T.rename_axis(["seed", "network"])
    table = compared(result)
    print(table.to_string(float_format="{:.4f}".format))
    OUTPUT.mkdir(exist_ok=True)
    result.to_csv(OUTPUT / "stochastic_branches.csv")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="of training in all")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    main(options.minutes, options.seeds)
