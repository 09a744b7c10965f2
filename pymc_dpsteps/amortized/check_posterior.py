"""Check a trained network: calibration on its model, and distances to long Markov chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymc_dpsteps.amortized.check import CheckReport, check_sampler
from pymc_dpsteps.amortized.check_draws import DataSet, Draws
from pymc_dpsteps.amortized.correct import resample
from pymc_dpsteps.amortized.posterior import AmortizedPosterior
from pymc_dpsteps.amortized.replay import replay, sample_chain
from pymc_dpsteps.amortized.target import Target
from pymc_dpsteps.steps.neal3 import Neal3
from pymc_dpsteps.steps.neal8 import Neal8
from pymc_dpsteps.steps.split_merge import SplitMerge

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_posterior"]

_HELD_OUT = 10  # observations, for the predictive density
_MORE = 10  # draws for each that is resampled


def check_posterior(
    posterior: AmortizedPosterior,
    *,
    corrected: bool = False,
    settings: Mapping[str, ArrayLike] | None = None,
    n_datasets: int = 200,
    draws: int = 200,
    n_references: int = 5,
    reference_draws: int = 2_000,
    random_seed: int | np.random.Generator | None = None,
) -> CheckReport:
    """Check a network on data sets of its own model.

    Simulation-based calibration, expected coverage and contraction of the number of clusters, of
    the sum of squared proportions, of the largest cluster, of the first two items' being together,
    of the first item's atoms and of log p(y, c), or log p(y, c, φ) where atoms φ cannot be
    integrated out; and distances to long Markov chains. See
    `check_sampler` and `plot_check`.

    Parameters
    ----------
    posterior : AmortizedPosterior
    corrected : bool, default False
        Check draws that are resampled by their importance weights, from ten times as many,
        instead of the network's own.
    settings : dict of array_like by name of container, optional
        Check data sets with these settings; those left out are as `build_model` sets them. Default:
        all settings are drawn from their law for every data set, as in training.
    n_datasets, draws : int, default 200
        Data sets of the calibration, and draws for each. Their sizes are drawn from the trained
        range, up to ten below its end where it is long enough, for held-out observations.
    n_references, reference_draws : int, default 5 and 2000
        Data sets with a chain beside (split–merge and Neal 3 in turns; Neal 8 where atoms cannot be
        integrated out), and its draws. With 0 there is no comparison.
    random_seed : int or numpy.random.Generator, optional

    Returns
    -------
    CheckReport
    """
    check = _Check(posterior, corrected, settings, reference_draws)
    return check_sampler(
        check.simulate,
        check.sample,
        reference=check.chain if n_references > 0 else None,
        n_datasets=n_datasets,
        draws=draws,
        n_references=n_references,
        random_seed=random_seed,
    )


@dataclass(frozen=True)
class _Observed:
    """A data set: by kernel variable, and as rows of the target; and rows that are held out."""

    data: dict[str, NDArray]
    settings: dict[str, NDArray]
    items: NDArray[np.float64]
    held_out: NDArray[np.float64]


class _Check:
    """A network and its model as `check_sampler` wants them."""

    def __init__(
        self,
        posterior: AmortizedPosterior,
        corrected: bool,
        settings: Mapping[str, ArrayLike] | None,
        reference_draws: int,
    ) -> None:
        self.posterior, self.corrected = posterior, corrected
        self.settings = None if settings is None else posterior.settings.complete(settings)
        self.reference_draws = reference_draws
        smallest, largest = posterior.n
        self.largest = max(smallest, largest - _HELD_OUT)

    def simulate(self, rng: np.random.Generator) -> DataSet:
        posterior = self.posterior
        n = int(rng.integers(posterior.n[0], self.largest, endpoint=True))
        posterior.simulator.seed(int(rng.integers(2**31)))
        drawn = posterior.settings.draw(1, rng)
        if self.settings is not None:
            drawn = {name: x[None] for name, x in self.settings.items()}
        settings = {name: x[0] for name, x in drawn.items()}
        simulated = posterior.simulator.draw(1, drawn)
        items, labels = simulated.items[0], simulated.labels[0, :n]
        atoms = [np.ravel(values[0, labels[0]]) for values in simulated.atoms.values()]
        return DataSet(
            y=_Observed(
                data={name: values[0, :n] for name, values in simulated.observed.items()},
                settings=settings,
                items=np.ascontiguousarray(items[:n]),
                held_out=np.ascontiguousarray(items[n : n + _HELD_OUT]),
            ),
            labels=labels,
            first=np.concatenate(atoms),
            log_joint=float(self._log_joint(items[:n], settings, labels[None], simulated.atoms)[0]),
        )

    def sample(self, y: _Observed, draws: int, rng: np.random.Generator) -> Draws:
        n_draws = draws * (_MORE if self.corrected else 1)
        drawn = self.posterior.draw(y.data, n_draws, settings=y.settings, random_seed=rng)
        if self.corrected:
            drawn = resample(drawn, rng, draws)
        model = self.posterior.model(y.data, settings=y.settings)
        return self._judged(y, replay(model, drawn, random_seed=rng))

    def chain(self, y: _Observed, rng: np.random.Generator) -> Draws:
        model = self.posterior.model(y.data, settings=y.settings)
        second = Neal3 if isinstance(self.posterior.target, Target) else Neal8
        steps = [SplitMerge(model=model), second(model=model)]
        idata = sample_chain(model, steps, self.reference_draws, tune=500, random_seed=rng)
        return self._judged(y, idata)

    def _judged(self, y: _Observed, idata: xr.DataTree) -> Draws:
        """The functionals of draws."""
        mixture = self.posterior.mixture
        found = idata["posterior"].isel(chain=0)
        labels = found[mixture.allocation.name].to_numpy().astype(np.int64)
        row = np.arange(len(labels))
        atoms = {str(a.rv.name): found[a.rv.name].to_numpy() for a in mixture.atoms}
        first = [x[row, labels[:, 0]].reshape(len(labels), -1) for x in atoms.values()]
        return Draws(
            labels=labels,
            first=np.concatenate(first, axis=1),
            log_joint=self._log_joint(y.items, y.settings, labels, atoms),
            log_predictive=self._log_predictive(y, labels, atoms) if len(y.held_out) > 0 else None,
        )

    def _log_joint(
        self,
        items: NDArray[np.float64],
        settings: dict[str, NDArray],
        labels: NDArray[np.int64],
        atoms: dict[str, NDArray],
    ) -> NDArray[np.float64]:
        """Log p(y, c); with atoms, log p(y, c, φ)."""
        target = self.posterior.setting(settings).exact
        if isinstance(target, Target):
            return target.log_prob(items, labels)
        return target.log_prob(items, labels, self.posterior.parameters.values(atoms))

    def _log_predictive(
        self, y: _Observed, labels: NDArray[np.int64], atoms: dict[str, NDArray]
    ) -> NDArray[np.float64]:
        target = self.posterior.setting(y.settings).exact
        if isinstance(target, Target):
            return target.log_predictive(y.items, labels, y.held_out)
        values = self.posterior.parameters.values(atoms)
        return target.log_predictive(y.items, labels, values, y.held_out)
