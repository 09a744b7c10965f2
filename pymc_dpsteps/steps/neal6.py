"""Neal's Algorithm 6: Algorithm 5 without a separate update of the atoms.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 5, Algorithm 6.

In the paper's terms the update is of theta_i, the atoms that item i has: a proposal is the
theta_j of another item or a fresh draw from G0. Carried as (phi, c) it is the sweep of Algorithm
5. The atoms of a cluster change only when an item opens one and others follow, so that it mixes
slowly; it needs nothing but F and draws from G0.
"""

from __future__ import annotations

from typing import ClassVar

from pymc_dpsteps.steps.neal5 import Neal5

__all__ = ["Neal6"]


class Neal6(Neal5):
    """Neal's (2000) Algorithm 6, for any kernel, base measure and prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    R : int, default 4
        Number of Metropolis–Hastings updates of each item in an iteration.
    concentration, init, model, rng
        See `MixtureStep`. There is no option ``atoms``: the algorithm has no update of its own
        for them.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly, or its weights have a law
        that cannot be integrated out (then use `BlockedGibbs`).

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 5.
    """

    name = "neal6"
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto",)
    updates_atoms: ClassVar[bool] = False
