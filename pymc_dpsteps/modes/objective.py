"""What EM climbs: the log posterior of all continuous variables, the allocation summed out.

With θ all continuous variables in PyMC's unconstrained value space,

    log p(θ, y) = log p(θ) + Σ_i log Σ_k w_k F(y_i | φ_k),

Jacobians of the transforms included in log p(θ). EM maximises in turn

    Q(θ | r) = log p(θ) + Σ_i Σ_k r_ik [log w_k + log F(y_i | φ_k)],   r_ik ∝ w_k F(y_i | φ_k).

At r = r(θ) both have the same gradient (Fisher's identity), so that one graph is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pymc.initial_point import make_initial_point_fn
from pymc.pytensorf import join_nonshared_inputs
from pytensor.gradient import NullTypeGradError
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.matrix import log_kernel_matrix
from pymc_dpsteps.mixture.structure import Mixture, MixtureError

__all__ = ["Objective", "Place", "compile_objective"]

type Vector = NDArray[np.float64]
type Point = dict[str, NDArray]


@dataclass(frozen=True)
class Place:
    """Where the value of a variable lies in the vector of all."""

    name: str
    entries: slice
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Objective:
    """Compiled functions of the vector of all continuous variables.

    Attributes
    ----------
    marginal : callable
        ``marginal(x) -> (log posterior, r)``, r the responsibilities, shape (N, K).
    expected : callable
        ``expected(x, r) -> (Q, gradient)``.
    log_kernel : callable
        ``log_kernel(x)``: log F(y_i | atoms of k), shape (N, K).
    draw : callable
        ``draw(seed)``: a point with atoms from G0, and all else at PyMC's initial point.
    places : tuple of Place
        Value variables, by name, in the vector.
    atoms : tuple of str
        Names of the value variables of the atoms.
    n_items, n_components : int
        N and K.
    """

    marginal: Callable[[Vector], tuple[float, Vector]]
    expected: Callable[[Vector, Vector], tuple[float, Vector]]
    log_kernel: Callable[[Vector], Vector]
    draw: Callable[[int], Point]
    places: tuple[Place, ...]
    atoms: tuple[str, ...]
    n_items: int
    n_components: int

    def pack(self, point: Point) -> Vector:
        """Vector of a point; what the point lacks (the sticks of a process) is zero."""
        parts = [point.get(p.name, np.zeros(p.shape)) for p in self.places]
        return np.concatenate([np.ravel(x) for x in parts]).astype(np.float64)

    def unpack(self, x: Vector) -> Point:
        """Value variables of a vector, by name."""
        return {p.name: x[p.entries].reshape(p.shape).copy() for p in self.places}

    def reordered(self, x: Vector, order: NDArray[np.int64]) -> Vector:
        """The same with the atoms of component ``order[k]`` in component k."""
        point = self.unpack(x)
        return self.pack(point | {name: point[name][order] for name in self.atoms})


def compile_objective(mixture: Mixture) -> Objective:
    """Compile the objective of a mixture.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`.

    Returns
    -------
    Objective

    Raises
    ------
    MixtureError
        If the model has other discrete variables or latent kernel variables, or a density
        without gradient.
    """
    _refuse(mixture)
    model = mixture.model
    log_prior, log_weights, sticks = _prior_and_weights(mixture)
    log_kernel = log_kernel_matrix(mixture)
    joint = log_weights + log_kernel
    r = pt.matrix("responsibilities", shape=joint.type.shape, dtype="float64")
    log_rows = pt.logsumexp(joint, axis=1, keepdims=True)
    marginal = log_prior + log_rows.sum()
    # 0 log 0 = 0 where a component cannot have made an item.
    expected = log_prior + pt.switch(pt.eq(r, 0.0), 0.0, r * joint).sum()

    values = [v for v in model.value_vars if v in set(ancestors([marginal]))] + sticks
    shapes = {v.name: v.type.shape for v in values}
    outputs, x = join_nonshared_inputs(
        {name: np.zeros(shape) for name, shape in shapes.items()},
        [marginal, pt.exp(joint - log_rows), expected, log_kernel],
        values,
    )
    marginal, responsibilities, expected, log_kernel = outputs
    return Objective(
        marginal=pm.compile([x], [marginal, responsibilities]),
        expected=pm.compile([x, r], [expected, _gradient(mixture, expected, x)]),
        log_kernel=pm.compile([x], log_kernel),
        draw=make_initial_point_fn(
            model=model, overrides={atom.rv: "prior" for atom in mixture.atoms}
        ),
        places=_side_by_side(shapes),
        atoms=tuple(str(atom.value_var.name) for atom in mixture.atoms),
        n_items=mixture.n_items,
        n_components=mixture.n_components,
    )


def _side_by_side(shapes: dict[str, tuple[int, ...]]) -> tuple[Place, ...]:
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())]).tolist()
    return tuple(
        Place(name, slice(first, end), shape)
        for (name, shape), first, end in zip(shapes.items(), ends[:-1], ends[1:], strict=True)
    )


def _prior_and_weights(
    mixture: Mixture,
) -> tuple[TensorVariable, TensorVariable, list[TensorVariable]]:
    """Log prior of the continuous variables, log weights, and sticks that the model lacks.

    A Chinese restaurant process has no weights: those of its Dirichlet (or Pitman-Yor) process,
    truncated at the K slots, take their place, in the logits of the sticks.
    """
    model, prior = mixture.model, mixture.prior
    left_out = {mixture.allocation, *mixture.imputed}
    terms = [
        t
        for t in [*model.basic_RVs, *model.potentials]
        if t not in left_out and t.name not in mixture.kernel_names
    ]
    log_prior = pt.constant(0.0) + sum(f.sum() for f in model.logp(vars=terms, sum=False))
    if prior.weights is not None:
        (weights,) = model.replace_rvs_by_values([prior.weights])
        return log_prior, pt.log(weights), []
    (parameters,) = model.replace_rvs_by_values([prior.parameters])
    alpha, discount = parameters[0, 0], parameters[0, 1]
    n_sticks = mixture.n_components - 1
    logit = pt.vector(f"{mixture.allocation.name}_sticks_logodds__", shape=(n_sticks,))
    a, b = 1.0 - discount, alpha + discount * pt.arange(1, n_sticks + 1)
    log_v, log_rest = pt.log(pt.sigmoid(logit)), pt.log(pt.sigmoid(-logit))
    # Density of V ~ Beta(a, b), times the Jacobian V (1 - V).
    log_sticks = a * log_v + b * log_rest
    log_sticks += pt.gammaln(a + b) - pt.gammaln(a) - pt.gammaln(b)
    zero = pt.zeros(1)
    log_weights = pt.concatenate([log_v, zero]) + pt.concatenate([zero, pt.cumsum(log_rest)])
    return log_prior + log_sticks.sum(), log_weights, [logit]


def _refuse(mixture: Mixture) -> None:
    """Refuse variables that cannot be summed out or have no mode worth finding."""
    model = mixture.model
    z = mixture.allocation
    others = [rv for rv in model.free_RVs if rv is not z and rv not in mixture.imputed]
    if discrete := [rv.name for rv in others if np.dtype(rv.dtype).kind in "iub"]:
        raise MixtureError(
            f"{', '.join(discrete)} is discrete: the search for a mode sums out the allocation "
            f"{z.name} alone and maximises over continuous variables. Fix the others (pm.observe), "
            "or sample the model with another init."
        )
    if latent := [rv.name for rv in others if rv.name in mixture.kernel_names]:
        raise MixtureError(
            f"The kernel variable {', '.join(latent)} is not observed: where components can "
            "concentrate on its values the density has no upper bound, hence no mode. Integrate it "
            "out of the likelihood, or sample the model with another init."
        )


def _gradient(mixture: Mixture, expected: TensorVariable, x: TensorVariable) -> Variable:
    try:
        return pt.grad(expected, x)
    except (NotImplementedError, NullTypeGradError) as error:
        raise MixtureError(
            f"The density of {', '.join(mixture.kernel_names)}, or a prior, has no gradient, by "
            f"which EM climbs: {error}"
        ) from error
