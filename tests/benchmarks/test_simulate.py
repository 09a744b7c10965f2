"""Data sets that a simulator makes in a second, on one core and by two worker processes."""

from itertools import islice
from time import perf_counter

import pytest

import pymc_dpsteps as dps
from examples.amortized_gaussian import build_model

N_ITEMS, BATCH, BATCHES = 64, 500, 40


@pytest.mark.benchmark
@pytest.mark.parametrize("workers", [0, 2])
def test_simulate(workers, record):
    pytest.importorskip("torch", reason="the extra amortized is not installed")
    from torch.utils.data import DataLoader, IterableDataset

    class Simulated(IterableDataset):
        def __iter__(self):
            posterior.simulator.seed(1)
            while True:
                yield posterior.simulator.draw(BATCH).items

    posterior = dps.amortized.AmortizedPosterior(build_model, (N_ITEMS, N_ITEMS))
    batches = iter(DataLoader(Simulated(), batch_size=None, num_workers=workers))
    next(batches)
    start = perf_counter()
    for _ in islice(batches, BATCHES):
        pass
    rate = BATCH * BATCHES / (perf_counter() - start)
    record("simulation", workers=workers, items=N_ITEMS, data_sets_per_s=rate)
