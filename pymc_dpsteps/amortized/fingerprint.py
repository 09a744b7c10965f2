"""What tells one model from another: by it a network knows the model that it was trained for."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs

from pymc_dpsteps.mixture.structure import Mixture

__all__ = ["fingerprint"]


def fingerprint(mixture: Mixture) -> str:
    """Identify a model by its densities at fixed numbers, which are not its data."""
    model = mixture.model
    atoms = {atom.rv for atom in mixture.atoms}
    others = [rv for rv in model.free_RVs if rv not in {mixture.allocation, *atoms}]
    graphs = [mixture.log_kernel, mixture.log_base, mixture.prior.parameters]
    graphs += [factor.sum() for factor in model.logp(vars=others, sum=False)] if others else []
    graphs = model.replace_rvs_by_values(graphs)
    sources = {leaf: source for source, leaf in mixture.shared.items()}
    joined = pt.concatenate([g.astype("float64").ravel() for g in clone_replace(graphs, sources)])
    leaves = [x for x in graph_inputs([joined]) if not isinstance(x, Constant)]
    leaves = list(dict.fromkeys(leaves))
    function = pm.pytensorf.compile(leaves, [joined], mode="FAST_COMPILE")
    rng = np.random.default_rng(0)
    numbers: list[Any] = [mixture.n_components]
    with np.errstate(all="ignore"):
        for _ in range(3):
            at = [np.abs(rng.normal(size=x.type.shape)) for x in leaves]
            at = [v.astype(x.type.dtype) for v, x in zip(at, leaves, strict=True)]
            numbers += list(function(*at)[0])
    return sha256(np.nan_to_num(numbers, neginf=-1e9).round(6).tobytes()).hexdigest()
