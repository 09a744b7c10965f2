"""Split–merge: many items change cluster at once, in one Metropolis–Hastings proposal.

A sweep that moves single items passes from one cluster to two through states in which a few items
make a poor cluster of their own. A split–merge proposal goes there in one step. Its forms are in
`split_merge_restricted` and `split_merge_sequential`, with what these share in
`split_merge_conjugate`, and in `split_merge_nonconjugate` and `split_merge_plug_in`; what all
share is in `split_merge_moves`, `split_merge_labels` and `split_merge_step`. What changes sizes by
less than all of a cluster is in `transfer`, `transfer_choice` and `transfer_walk`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from pymc_dpsteps.mixture.structure import MixtureError, PriorKind
from pymc_dpsteps.steps.arguments import check_option, whole_number
from pymc_dpsteps.steps.marginal import MarginalStep
from pymc_dpsteps.steps.split_merge_moves import Scratch, allocate_scratch
from pymc_dpsteps.steps.split_merge_step import FORMS, ROWS, split_merge_step
from pymc_dpsteps.steps.transfer import transfer_step
from pymc_dpsteps.steps.transfer_walk import transfer_rows

__all__ = ["SplitMerge"]


class SplitMerge(MarginalStep):
    """Split–merge Metropolis–Hastings, alone or in turns with another step method.

    ``pm.sample(step=[dps.SplitMerge(), dps.Neal8()])`` runs both in every iteration: the
    proposals here find clusters, the sweep there gets their borders right. Alone it is a valid
    but slow sampler.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several.
    proposal : {"auto", "restricted_gibbs", "sequential", "plug_in", "nonconjugate"}, default "auto"
        How a split is made. "restricted_gibbs" is the proposal of Jain and Neal: with the atoms
        integrated out [1]_ for a conjugate pair, else with the atoms in the state [2]_.
        "sequential" is that of Dahl and Newcomb [3]_, for conjugate pairs. "plug_in" allocates
        sequentially for any pair, by densities at atoms that follow the items placed so far;
        "nonconjugate" is [2]_ for any pair. "auto" is "sequential" for a conjugate pair, else
        "plug_in".
    t : int, default 5
        Intermediate restricted Gibbs scans that make a launch state, where the proposal has one.
    moves : int, default 3
        Proposals per iteration.
    transfers : int, default 0
        Before these, updates of a cluster's weight and atoms together with another's, all labels
        summed out; in some a cluster begins or ends. For some 10,000 items and more, where the
        sizes of small clusters within and across large ones hardly change otherwise; each takes
        about as long as a sweep of `BlockedGibbs`.
    concentration, atoms, init, model, rng
        See `MixtureStep`. Of several steps in a list each makes its own start: the last one's
        `init` decides.

    Raises
    ------
    MixtureError
        If the model is not a mixture that can be sampled exactly, its weights have a law that
        cannot be integrated out (then use `BlockedGibbs`), or ``proposal="sequential"`` is asked
        of a pair that is not conjugate.

    Notes
    -----
    "sequential" and "plug_in" make one pass over the items where the others make t + 1, and at
    least as many of their proposals are accepted.

    Beside a step that updates them, ``atoms=None, concentration=None`` saves a second update of
    atoms and concentration in every iteration.

    In the statistics, `births` and `deaths` count accepted splits and merges, and clusters that
    began and ended in transfers; `transfers` counts those accepted. With several steps in a list,
    `pymc.sample` gives each statistic that they share one more dimension.

    References
    ----------
    .. [1] Jain, S. and Neal, R. M. (2004). A split–merge Markov chain Monte Carlo procedure for
       the Dirichlet process mixture model. Journal of Computational and Graphical Statistics 13,
       158–182.
    .. [2] Jain, S. and Neal, R. M. (2007). Splitting and merging components of a nonconjugate
       Dirichlet process mixture model. Bayesian Analysis 2, 445–472.
    .. [3] Dahl, D. B. and Newcomb, S. (2022). Sequentially allocated merge-split samplers for
       conjugate Bayesian nonparametric models. Journal of Statistical Computation and
       Simulation 92, 1487–1511.
    """

    name = "split_merge"
    uses_statistics: ClassVar[tuple[str, ...]] = (
        "update",
        "log_marginal",
        "draw_posterior",
        "refresh",
        "shift",
        "log_predictive",
    )
    stats_dtypes_shapes: ClassVar[dict] = MarginalStep.stats_dtypes_shapes | {
        "transfers": (np.int64, [])
    }

    def __init__(
        self,
        vars: Any = None,
        *,
        proposal: Literal[
            "auto", "restricted_gibbs", "sequential", "plug_in", "nonconjugate"
        ] = "auto",
        t: int = 5,
        moves: int = 3,
        transfers: int = 0,
        **kwargs: Any,
    ) -> None:
        check_option("proposal", proposal, ("auto", *FORMS))
        self.proposal = proposal
        self.t = whole_number(self, "t is the number of intermediate scans", t)
        self.moves = whole_number(self, "moves is the number of proposals", moves)
        self.transfers = whole_number(self, "transfers is a number of updates", transfers, least=0)
        self.uses_kernel_of_items = self.transfers > 0
        self.n_transferred = 0
        super().__init__(vars, **kwargs)

    def _check_prior(self) -> None:
        super()._check_prior()
        if self.proposal == "sequential" and not self._conjugacy.complete:
            raise MixtureError(
                f"{self._no_pair_message()} Or use dps.SplitMerge(proposal='plug_in')."
            )

    def _draws_at_once(self) -> int:
        if self.transfers == 0:
            return ROWS
        return transfer_rows(self._compiled.n_values) + self._mixture.n_components

    def _compile(self) -> None:
        super()._compile()
        self._scratch: Scratch = allocate_scratch(self._mixture.n_items, self._mixture.n_components)

    def _start(self) -> None:
        super()._start()
        self.n_transferred = 0

    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        form, pair = self.proposal, self._conjugacy.complete
        if form == "auto":
            form = "sequential" if pair else "plug_in"
        elif form == "restricted_gibbs" and not pair:
            form = "nonconjugate"
        kind = self._mixture.prior.kind
        crp, sticks = kind is PriorKind.CRP, kind is PriorKind.STICKS
        births = deaths = 0
        if self.transfers > 0:
            accepted, births, deaths = transfer_step(
                self._chain, self._scratch, self.spread, self.transfers, crp, sticks
            )
            self.n_transferred += accepted
        splits, merges, evaluations = split_merge_step(
            self._chain, self._scratch, FORMS.index(form), self.t, self.moves, crp, sticks, *rest
        )
        return births + splits, deaths + merges, evaluations

    def _stats(self, births: int, deaths: int, evaluations: int) -> dict[str, Any]:
        transfers, self.n_transferred = self.n_transferred, 0
        return super()._stats(births, deaths, evaluations) | {"transfers": transfers}
