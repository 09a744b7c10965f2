"""Refuse data that no atoms of the base measure can explain."""

from __future__ import annotations

import numpy as np

from pymc_dpsteps.mixture.structure import Mixture, MixtureError
from pymc_dpsteps.steps.state import State
from pymc_dpsteps.steps.updates import fill_pool, mark_possible, share_hyperparameters

__all__ = ["refuse_impossible_data"]

_DRAWS = 2_000


def refuse_impossible_data(state: State, mixture: Mixture) -> None:
    """Refuse data whose density is zero, infinite or undefined wherever G0 puts the atoms.

    Parameters
    ----------
    state : State
        State whose items, shared entries and hyperparameters are filled in.
    mixture : Mixture
        The model.

    Raises
    ------
    MixtureError
        Naming the items, or the atoms if these cannot be drawn.
    """
    rng = np.random.default_rng(0)
    share_hyperparameters(state)
    possible = np.zeros(len(state.z), dtype=bool)
    for _ in range(-(-_DRAWS // (len(state.values) - len(state.counts)))):
        try:
            fill_pool(rng, state)
        except NotImplementedError as error:
            names = ", ".join(atom.rv.name for atom in mixture.atoms)
            raise MixtureError(
                f"The prior of the atoms {names} cannot be drawn from: {error}. The base "
                "measure must be a proper prior, and a pm.CustomDist needs random=."
            ) from error
        mark_possible(state, possible)
        if possible.all():
            return
    where = np.flatnonzero(~possible)
    raise MixtureError(
        f"The data of {', '.join(mixture.kernel_names)} at {len(where)} items (first: "
        f"{where[:5].tolist()}) have density zero, or none, under {_DRAWS:,} draws of the atoms "
        "from their prior: the observations are outside the support of the likelihood or not "
        "numbers, or the prior is far from them. Check the data's range, units and the priors."
    )
