"""Autocorrelation times with their standard errors, and seconds per sweep."""

from dataclasses import dataclass
from functools import cache
from time import perf_counter

import numpy as np
import pymc as pm
from pymc.step_methods.compound import CompoundStep

from pymc_dpsteps.diagnostics import integrated_autocorr_time
from tests.benchmarks import reference_sampler
from tests.benchmarks.cases import CASES, K

FUNCTIONALS = ("k", "squares", "density", "alpha")
M = 3
# Chains, sweeps of each, and sweeps before these: a few per cent of τ.
LENGTHS = {"galaxies": (8, 20_000, 1_000), "N = 1,000": (8, 5_000, 1_000)}
_TIMED = 2_000


@dataclass(frozen=True)
class Result:
    """Mean and τ of functionals, each with its standard error; shape (functional,)."""

    mean: np.ndarray
    mean_se: np.ndarray
    tau: np.ndarray
    tau_se: np.ndarray

    @classmethod
    def of(cls, chains):
        """From draws of shape (chain, draw, functional); a single chain is cut into four."""
        if len(chains) == 1:
            n = chains.shape[1] // 4
            chains = chains[0, : 4 * n].reshape(4, n, -1)
        n_chains, n_draws, _ = chains.shape
        columns = [chains[:, :, f] for f in range(chains.shape[2])]
        tau = np.array([integrated_autocorr_time(x) for x in columns])
        each = np.array([[integrated_autocorr_time(chain) for chain in x] for x in columns])
        sd = chains.std(axis=(0, 1))
        return cls(
            chains.mean(axis=(0, 1)),
            sd * np.sqrt(tau / (n_chains * n_draws)),
            tau,
            each.std(axis=1, ddof=1) / np.sqrt(n_chains),
        )

    def row(self, ms):
        """Columns of a table: mean, τ and independent draws per second of each functional."""
        columns = {
            "mean": self.mean,
            "mean_se": self.mean_se,
            "tau": self.tau,
            "tau_se": self.tau_se,
            "per_s": 1e3 / (self.tau * ms),
        }
        return {
            f"{name}_{column}": float(values[f])
            for f, name in enumerate(FUNCTIONALS[: len(self.tau)])
            for column, values in columns.items()
        }


def functionals(case, alpha, z, mu, sigma, row):
    """Write those of one draw."""
    reference_sampler.functionals(
        np.bincount(z, minlength=K), mu, sigma, alpha, case.point, case.base_density, row
    )


def compound(model, makers):
    """The steps of a model as `pymc.sample` runs them."""
    with model:
        return CompoundStep([make() for make in makers])


def run(case, model, makers, length):
    """Functionals of chains of a list of steps, and seconds per call of `step`."""
    step = compound(model, makers)
    n_chains, n_sweeps, n_tune = length
    with_alpha = "alpha_log__" in model.initial_point()
    chains = np.empty((n_chains, n_sweeps, 3 + with_alpha))
    spent = 0.0
    for c in range(n_chains):
        step.setup_chain(np.random.default_rng([1, c]), n_tune, n_sweeps)
        point = model.initial_point()
        for sweep in range(-n_tune, n_sweeps):
            if sweep == 0:
                step.stop_tuning()
            start = perf_counter()
            point, _ = step.step(point)
            if sweep < 0:
                continue
            spent += perf_counter() - start
            row = chains[c, sweep]
            alpha = np.exp(point["alpha_log__"]) if with_alpha else case.prior[0]
            sigma = np.exp(0.5 * point["sigma2_log__"])
            functionals(case, alpha, point["z"], point["mu"], sigma, row)
            row[3:] = alpha
    return chains, spent / (n_chains * n_sweeps)


def sample(model, steps, draws, tune):
    """One chain by `pymc.sample`, and wall-clock seconds per draw of its loop after tuning."""
    times = []

    def callback(trace, draw):
        if not draw.tuning:
            times.append(perf_counter())

    idata = pm.sample(
        draws, tune=tune, chains=1, cores=1, step=steps, random_seed=1, model=model,
        progressbar=False, quiet=True, compute_convergence_checks=False, callback=callback,
    )  # fmt: skip
    return idata, (times[-1] - times[0]) / (len(times) - 1)


def sample_seconds(model, steps):
    """Seconds per draw of `pymc.sample`, with all that it records."""
    return sample(model, steps, _TIMED, tune=200)[1]


def by_hand(case, n_sweeps, seed):
    """Functionals of a chain of the hand-written sampler, shape (draw, functional)."""
    return reference_sampler.sample(
        np.random.default_rng([2, seed]), case.y, case.prior, K, M, case.point,
        case.base_density, n_sweeps,
    )  # fmt: skip


@cache
def reference_result(name):
    """The hand-written sampler on a case."""
    n_chains, n_sweeps, n_tune = LENGTHS[name]
    chains = [by_hand(CASES[name], n_tune + n_sweeps, c)[n_tune:] for c in range(n_chains)]
    return Result.of(np.array(chains))


def seconds_in_turns(calls, repeats=3):
    """Medians of seconds per sweep that each call measures, taken in turns."""
    return np.median([[call() for call in calls] for _ in range(repeats)], axis=0).tolist()


def by_hand_seconds(case, n_sweeps=_TIMED):
    """Seconds per sweep of the hand-written sampler."""
    start = perf_counter()
    by_hand(case, n_sweeps, 0)
    return (perf_counter() - start) / n_sweeps
