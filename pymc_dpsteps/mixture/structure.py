"""What a mixture model consists of: the result of reading a PyMC model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from pymc import Model
from pytensor.graph.basic import Variable
from pytensor.tensor.random.basic import BetaRV
from pytensor.tensor.variable import TensorVariable

__all__ = [
    "AllocationPrior",
    "Atom",
    "Block",
    "BlockData",
    "Conjugacy",
    "Family",
    "GroupedTerm",
    "Mixture",
    "MixtureError",
    "PriorKind",
]


class MixtureError(ValueError):
    """The model is not a mixture that these step methods can sample; the message says why."""


class PriorKind(Enum):
    """Families of priors of an allocation."""

    CRP = "Chinese restaurant process"
    STICKS = "truncated stick-breaking weights"
    DIRICHLET = "Dirichlet weights"
    WEIGHTS = "weights of unknown law"


@dataclass(frozen=True)
class AllocationPrior:
    """Prior of the allocation, with its weights integrated out where their law is known.

    Attributes
    ----------
    kind : PriorKind
        Family. For ``WEIGHTS`` only the conditional law given the weights is known.
    parameters : TensorVariable
        Parameters of the urn, as a graph of the model's random variables, shape ``(rows, 2)``:
        CRP ``[[alpha, discount]]``; sticks ``[[a_k, b_k]]`` of ``V_k ~ Beta(a_k, b_k)`` for the
        first K - 1 sticks; Dirichlet ``[[a_k, 0]]``. Empty, ``(0, 2)``, for ``WEIGHTS``.
    weights : TensorVariable or None
        The K weights as a graph of the model's random variables; None for the CRP.
    weight_rv : TensorVariable or None
        The random variable a step redraws to redraw the weights: the weights themselves, or the
        K - 1 sticks; None where the step leaves the weights alone.
    """

    kind: PriorKind
    parameters: TensorVariable
    weights: TensorVariable | None
    weight_rv: TensorVariable | None

    @property
    def by_sticks(self) -> bool:
        """Whether `weight_rv` holds the sticks and not the weights."""
        return self.weight_rv is not None and isinstance(self.weight_rv.owner.op, BetaRV)


@dataclass(frozen=True)
class Atom:
    """A variable with one independent value per component.

    Attributes
    ----------
    rv : TensorVariable
        Random variable, shape ``(K, …)``.
    value_var : TensorVariable
        Its value variable in unconstrained space, shape ``(K, …)``.
    placeholder : TensorVariable
        Stands for one row of the value variable in the lifted graphs.
    """

    rv: TensorVariable
    value_var: TensorVariable
    placeholder: TensorVariable


@dataclass(frozen=True)
class GroupedTerm:
    """A kernel variable with any number of observations per item, as in ``atom[z[group]]``.

    Attributes
    ----------
    name : str
        Name of the variable.
    group : numpy.ndarray
        Item of every observation, int64, shape ``(M,)``.
    log_kernel : TensorVariable
        Log density of one observation given the atoms of its item's component.
    observations : dict
        Graph of the frozen model with leading axis M -> placeholder of its element.
    """

    name: str
    group: np.ndarray
    log_kernel: TensorVariable
    observations: dict[Variable, TensorVariable]


@dataclass(frozen=True)
class Mixture:
    """A PyMC model read as a mixture model.

    All graphs belong to `model`, a copy of the user's model with dims and data frozen; variables
    correspond to the user's by name.

    Attributes
    ----------
    model : Model
        Frozen copy of the user's model.
    allocation : TensorVariable
        Random variable z, integer, shape ``(N,)``.
    n_items, n_components : int
        N, the length of the allocation, and K, the number of slots.
    prior : AllocationPrior
        Prior of the allocation.
    concentration : tuple of TensorVariable
        Scalar random variables on which the prior's parameters depend and nothing else does.
    atoms : tuple of Atom
        Variables of the base measure G0.
    kernel_names : tuple of str
        Names of the variables whose density depends on the allocation.
    hyperparameters : tuple of TensorVariable
        Continuous variables on which the law of the atoms depends and nothing else does.
    imputed : tuple of TensorVariable
        Missing observations, which the model treats as variables: integrated out of the kernel,
        and to be drawn given the allocation and the atoms.
    log_kernel : TensorVariable
        ``log F(y_i | atoms of k)``, summed over the kernel variables with one row per item, as a
        scalar graph of placeholders.
    grouped : tuple of GroupedTerm
        The other kernel variables, with several rows per item or none.
    log_base : TensorVariable
        ``log g0(atoms of k)`` in value space, Jacobian included, as a scalar graph of
        placeholders.
    items : dict
        Graph of the frozen model with leading axis N -> placeholder of its element i.
    shared : dict
        Graph of the frozen model -> placeholder.
    """

    model: Model
    allocation: TensorVariable
    n_items: int
    n_components: int
    prior: AllocationPrior
    concentration: tuple[TensorVariable, ...]
    atoms: tuple[Atom, ...]
    kernel_names: tuple[str, ...]
    hyperparameters: tuple[TensorVariable, ...]
    imputed: tuple[TensorVariable, ...]
    log_kernel: TensorVariable
    grouped: tuple[GroupedTerm, ...]
    log_base: TensorVariable
    items: dict[Variable, TensorVariable]
    shared: dict[Variable, TensorVariable]

    def in_value_space(self, rv: TensorVariable, x: TensorVariable | None = None) -> TensorVariable:
        """A draw of `rv`, or the natural value `x`, as a value of its value variable."""
        x = rv if x is None else x
        transform = self.model.rvs_to_transforms[rv]
        return x if transform is None else transform.forward(x, *rv.owner.inputs)

    def owned(self, parameters: Iterable[TensorVariable], *, atoms: bool) -> set[TensorVariable]:
        """Variables that a step on this mixture updates; `parameters` it chooses itself."""
        owned = {self.allocation, *self.imputed, *parameters}
        if atoms:
            owned.update(atom.rv for atom in self.atoms)
        if self.prior.weight_rv is not None:
            owned.add(self.prior.weight_rv)
        return owned


@dataclass(frozen=True)
class Family:
    """A conjugate family: sufficient statistics of a cluster, in compiled functions.

    All arrays are one-dimensional float64; `d` is the dimension of the atom.

    Attributes
    ----------
    name : str
        Name; with the package's sources it identifies the functions in the disk cache.
    n_stats, n_hyper, n_natural, n_cache : callable
        Lengths of the statistics, the prior's parameters, a draw and the cache, as functions of d.
    update : dispatcher
        ``update(d, stats, datum, sign)`` adds (sign 1) or removes (sign -1) an observation.
    log_marginal : dispatcher
        ``log_marginal(d, stats, hyper)``: log of the integral of G0 times the likelihood.
    draw : dispatcher
        ``draw(rng, d, stats, hyper, natural)``: the parameter given the observations.
    refresh : dispatcher
        ``refresh(d, stats, hyper, cache)``: what the predictive density needs of a cluster.
    log_predictive : dispatcher
        ``log_predictive(d, cache, first, datum, at)``: log density of one more observation, with
        the cache and the observation beginning at these places of their arrays.
    shift : dispatcher, optional
        ``shift(d, stats, hyper, cache, datum, at, sign)``: brings the cache up to date after
        `update` by one observation, where that is cheaper than `refresh`.
    """

    name: str
    n_stats: Callable[[int], int]
    n_hyper: Callable[[int], int]
    n_natural: Callable[[int], int]
    n_cache: Callable[[int], int]
    update: Any
    log_marginal: Any
    draw: Any
    refresh: Any
    log_predictive: Any
    shift: Any = None


@dataclass(frozen=True)
class BlockData:
    """What a block's statistics take of one row of data.

    Attributes
    ----------
    group : int or None
        Place among the mixture's grouped terms; None for a row per item.
    graphs : tuple of TensorVariable
        Scalar graphs of what `Family.update` takes, for every observation in the row, for every
        copy, one after the other.
    """

    group: int | None
    graphs: tuple[TensorVariable, ...]


@dataclass(frozen=True)
class Block:
    """Atoms whose law given their items, and the other atoms of their component, is conjugate.

    Attributes
    ----------
    pair : str
        What was recognised, in words.
    family : Family
        Statistics, marginal and draw.
    d, copies : int
        Dimension of the parameter; number of independent copies of it side by side (a vector
        atom with an elementwise prior and likelihood).
    atoms : tuple of Atom
        Atoms drawn together.
    data : tuple of BlockData
        What it takes of the rows of every kind.
    n_datum : int
        Length of what one `update` takes.
    hyper : TensorVariable
        Parameters of the prior, a vector: those of every copy, one after the other.
    natural : TensorVariable
        Placeholder of a draw, a vector.
    values : tuple of TensorVariable
        Value-space row of each atom as a graph of `natural`.
    given : tuple of str
        Names of the component's other atoms on which data or hyper depend. Empty where the atoms
        can be integrated out.
    """

    pair: str
    family: Family
    d: int
    copies: int
    atoms: tuple[Atom, ...]
    data: tuple[BlockData, ...]
    n_datum: int
    hyper: TensorVariable
    natural: TensorVariable
    values: tuple[TensorVariable, ...]
    given: tuple[str, ...]

    @property
    def n_stats(self) -> int:
        """Length of the statistics of a cluster."""
        return self.copies * self.family.n_stats(self.d)


@dataclass(frozen=True)
class Conjugacy:
    """What is conjugate in a mixture.

    Attributes
    ----------
    blocks : tuple of Block
        Disjoint groups of atoms that can be drawn exactly.
    reasons : dict
        Name of every other atom -> why it has no conjugate pair.
    items, shared : dict
        As in `Mixture`: source graph of the frozen model -> placeholder in the blocks' graphs.
    observations : tuple of dict
        The same for every grouped term of the mixture.
    """

    blocks: tuple[Block, ...]
    reasons: dict[str, str]
    items: dict[Variable, TensorVariable]
    observations: tuple[dict[Variable, TensorVariable], ...]
    shared: dict[Variable, TensorVariable]

    @property
    def complete(self) -> bool:
        """Whether all atoms can be integrated out."""
        return not self.reasons and not any(block.given for block in self.blocks)
