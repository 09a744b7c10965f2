"""Convergence judged by functionals that do not depend on how the clusters are numbered.

R-hat and ESS of ``mu[3]`` mean nothing in a mixture: component 3 is another cluster in another
chain. The functionals in the group ``partition`` of a result have no such freedom.
"""

from __future__ import annotations

import arviz_stats
import numpy as np
import xarray as xr

__all__ = ["convergence_messages"]

_MAX_R_HAT = 1.01
_MIN_ESS_PER_CHAIN = 100
_MIN_DRAWS = 4  # with fewer, neither R-hat nor ESS is defined


def convergence_messages(partition: xr.Dataset) -> list[str]:
    """What is wrong with the convergence of label-invariant functionals.

    Parameters
    ----------
    partition : xarray.Dataset
        Variables with dimensions (chain, draw), as from `partition`.

    Returns
    -------
    list of str
        A message for all functionals whose rank-normalised split R-hat exceeds 1.01, one for
        those whose bulk or tail ESS is below 100 per chain, and one for those that are not
        finite in some draws; empty when all is well. A functional with one and the same value in
        all draws is well.

    References
    ----------
    .. [1] Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Bürkner, P.-C. (2021).
       Rank-normalization, folding, and localization: an improved R-hat for assessing
       convergence of MCMC. Bayesian Analysis 16, 667-718.
    """
    n_chains, n_draws = partition.sizes["chain"], partition.sizes["draw"]
    if n_draws < _MIN_DRAWS:
        return [f"{n_draws} draws per chain are too few to judge convergence."]
    r_hats, sizes, broken = [], [], []
    needed = _MIN_ESS_PER_CHAIN * n_chains
    for name, variable in partition.data_vars.items():
        values = np.asarray(variable.transpose("chain", "draw").values, dtype=np.float64)
        if (values == values[0, 0]).all():
            continue
        if bad := np.count_nonzero(~np.isfinite(values)):
            broken.append(f"{name} in {bad / values.size:.1%} of the draws")
            continue
        r_hat, bulk, tail = _diagnose(values)
        if n_chains > 1 and not r_hat <= _MAX_R_HAT:
            r_hats.append(f"{name} {r_hat:.3f}")
        if not min(bulk, tail) >= needed:
            sizes.append(f"{name} {bulk:.0f} (bulk), {tail:.0f} (tail)")
    messages = []
    if broken:
        messages.append(
            f"Not finite: {'; '.join(broken)}. The posterior may be improper: where data have "
            "ties, the scale of a component on these alone runs to zero unless its prior density "
            "vanishes there, as that of pm.LogNormal and pm.InverseGamma does and pm.HalfNormal's "
            "does not."
        )
    if r_hats:
        messages.append(
            f"The chains disagree: R-hat above {_MAX_R_HAT} for {'; '.join(r_hats)}. Give more "
            "tuning and draws, or a step that mixes better."
        )
    if sizes:
        messages.append(
            f"Few independent draws: effective sample size below {needed} "
            f"({_MIN_ESS_PER_CHAIN} per chain) for {'; '.join(sizes)}. Give more draws."
        )
    return messages


def _diagnose(values: np.ndarray) -> tuple[float, float, float]:
    """R-hat, bulk and tail ESS; chains that never move have infinite R-hat."""
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = float(arviz_stats.rhat(values))
        bulk = float(arviz_stats.ess(values, method="bulk"))
        tail = float(arviz_stats.ess(values, method="tail", prob=(0.05, 0.95)))
    return r_hat, bulk, tail
