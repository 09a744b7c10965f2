"""Neal's Algorithm 2: Gibbs sampling of the allocation, then of the atoms, for conjugate pairs.

Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture models. Journal of
Computational and Graphical Statistics 9, 249–265, section 3, equation 3.6; Bush and MacEachern
(1996).

Items are reassigned as in Algorithm 1. Then the atoms of every cluster are drawn given all of
its items, so that a cluster moves as a whole.
"""

from __future__ import annotations

from typing import ClassVar

from pymc_dpsteps.steps.marginal import MarginalStep
from pymc_dpsteps.steps.neal1 import GIBBS_STATISTICS, gibbs_step

__all__ = ["Neal2"]


class Neal2(MarginalStep):
    """Neal's (2000) Algorithm 2, for conjugate pairs and any prior of the allocation.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    concentration, atoms, init, model, rng
        See `MixtureStep`.

    Raises
    ------
    MixtureError
        If the model is not a mixture of a conjugate pair, or its weights have a law that cannot
        be integrated out.

    References
    ----------
    .. [1] Neal, R. M. (2000). Markov chain sampling methods for Dirichlet process mixture
       models. Journal of Computational and Graphical Statistics 9, 249–265, section 3.
    .. [2] Bush, C. A. and MacEachern, S. N. (1996). A semiparametric Bayesian model for
       randomised block designs. Biometrika 83, 275–285.
    """

    name = "neal2"
    needs_conjugate: ClassVar[bool] = True
    uses_statistics: ClassVar[tuple[str, ...]] = GIBBS_STATISTICS

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        births, deaths, evaluations = gibbs_step(self._chain, *rest)
        return births, deaths, evaluations
