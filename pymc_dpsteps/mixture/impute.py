"""Draw missing observations given the allocation, the atoms and all else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
from pytensor.compile.io import In
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors

from pymc_dpsteps.mixture.codegen_priors import with_generators
from pymc_dpsteps.mixture.missing import draw_given_observed
from pymc_dpsteps.mixture.small_matrices import small_matrix_mode
from pymc_dpsteps.mixture.structure import Mixture

__all__ = ["compile_imputation"]

type Point = dict[str, np.ndarray]


def compile_imputation(mixture: Mixture) -> Callable[[np.random.Generator, Point], Point]:
    """Compile the draw of a mixture's missing observations.

    Returns
    -------
    callable
        ``impute(rng, point)``: values of the missing observations by name of value variable.
    """
    model = mixture.model
    draws = []
    for rv in mixture.imputed:
        draw = draw_given_observed(model, rv)
        draws.append(mixture.in_value_space(rv) if draw is None else draw)
    others = [rv for rv in model.basic_RVs if rv not in mixture.imputed]
    values = model.replace_rvs_by_values(others)
    draws = list(clone_replace(draws, dict(zip(others, values, strict=True))))
    generators, draws = with_generators(draws)
    inputs = [v for v in model.value_vars if v in set(ancestors(draws))]
    function = pm.pytensorf.compile(
        [*(In(g, mutable=True, borrow=True) for g in generators), *inputs],
        draws,
        mode=small_matrix_mode(),
        random_seed=False,
    )
    names = [model.rvs_to_values[rv].name for rv in mixture.imputed]

    def impute(rng: np.random.Generator, point: Point) -> Point:
        drawn = function(*[rng] * len(generators), *[point[v.name] for v in inputs])
        return {
            name: np.asarray(x, dtype=point[name].dtype)
            for name, x in zip(names, drawn, strict=True)
        }

    return impute
