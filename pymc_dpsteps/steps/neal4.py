"""Neal's Algorithm 4: the "no gaps" sampler of MacEachern and Müller.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 4, Algorithm 4; MacEachern, S. N. and
Müller, P. (1998). Estimating mixture of Dirichlet process models. Journal of Computational and
Graphical Statistics 7, 223–238.

The k clusters carry labels 1, …, k without gaps, every order being equally likely given the
partition: a labelled state has probability EPPF / k!. The atoms of the label k + 1 are a draw
from G0. Let k⁻ be the number of clusters of the other items. Item i may open a cluster only as
the last label, k⁻ + 1; against a state with k⁻ clusters it weighs a new cluster by

    (W_new / (k⁻ + 1)!) / (1 / k⁻!) = W_new / (k⁻ + 1),

where W_new = alpha for the Dirichlet process. An item that is alone may leave only if its own
label is the last, since any other would leave a gap. As every order is equally likely, the labels
can be drawn anew before each item, and then its label is the last with probability 1 / (k⁻ + 1):
that is all that need be drawn. Nothing but exchangeability was used, so that the algorithm holds
for the Pitman–Yor process too, where W_new = alpha + d k⁻.
"""

from __future__ import annotations

import numpy as np

from pymc_dpsteps.jit import njit, njit_lean
from pymc_dpsteps.mixture.structure import MixtureError
from pymc_dpsteps.steps.marginal import MarginalStep, open_cluster, weigh
from pymc_dpsteps.steps.occupancy import vacate
from pymc_dpsteps.steps.state import State, chain_at, is_crp, kernel_of, predictive_of
from pymc_dpsteps.steps.updates import fill_pool, pick, prepare, update_rest
from pymc_dpsteps.urns import urn_for

__all__ = ["Neal4"]


@njit_lean
def neal4_sweep(rng: np.random.Generator, state: State) -> tuple[int, int]:
    """Reassign every item once; returns the numbers of clusters opened and closed."""
    z, counts, active, weights = state.z, state.counts, state.active, state.weights
    candidates, prior, log_density = state.candidates, state.prior, state.log_density
    kernel, predictive = kernel_of(state), predictive_of(state)
    crp, parameters = is_crp(state), state.parameters
    n_slots, pool_end = len(counts), len(state.values)
    next_row = pool_end
    births = deaths = 0
    for i in range(len(z)):
        own, k = z[i], state.n_active[0]
        if counts[own] == 1 and rng.random() * k < k - 1:
            continue  # its label is not the last
        counts[own] -= 1
        alone = counts[own] == 0
        if alone:
            vacate(state, own)
        n_active = state.n_active[0]
        new_weight = weigh(crp, predictive, counts, active, n_active, parameters, weights, prior)
        for j in range(n_active):
            candidates[j] = active[j]
        n = n_active
        if new_weight > 0.0:
            if alone:
                candidates[n] = own
            else:
                if next_row == pool_end:
                    fill_pool(rng, state)
                    next_row = n_slots
                candidates[n] = next_row
                next_row += 1
            prior[n] = new_weight / (n_active + 1)
            n += 1
        kernel(i, candidates, n, state.items, state.columns, state.shared, log_density)
        chosen = pick(rng, log_density, prior, n)
        row = candidates[chosen]
        slot = row
        if chosen == n_active:
            slot = open_cluster(rng, state, row)
        z[i] = slot
        counts[slot] += 1
        births += row >= n_slots
        deaths += alone and row != own
    return births, deaths


@njit
def neal4_step(chain: int, swap: bool, slice_atoms: bool, weights: int) -> tuple[int, int, int]:
    """One iteration: the sweep, then what all algorithms share."""
    rng, state = chain_at(chain)
    prepare(state)
    births, deaths = neal4_sweep(rng, state)
    return births, deaths, update_rest(rng, state, swap, slice_atoms, weights)


class Neal4(MarginalStep):
    """Neal's (2000) Algorithm 4, "no gaps", for any kernel and base measure.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly, or its slots are not
        exchangeable (as under stick-breaking or Dirichlet weights).

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 4.
    .. [2] MacEachern, S. N. and Müller, P. (1998). Estimating mixture of Dirichlet process
       models. Journal of Computational and Graphical Statistics 7, 223–238.
    """

    name = "neal4"

    def _check_prior(self) -> None:
        super()._check_prior()
        kind = self._mixture.prior.kind
        if not urn_for(kind).exchangeable:
            raise MixtureError(
                "Neal4 relabels clusters at will and needs slots exchangeable a priori, as "
                f"under dps.ChineseRestaurantProcess; found {kind.value} for "
                f"{self._mixture.allocation.name}. dps.Neal5(), dps.Neal6(), dps.Neal7(), "
                "dps.Neal8() and dps.BlockedGibbs() apply."
            )

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = neal4_step(self._chain, *rest)
        return births, deaths, evaluations
