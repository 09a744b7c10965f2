"""A mixture in the natural parameters of its atoms, as conjugate pairs are written.

Kernels and base measures are seen by distribution and parameters: ``Normal(mean, sd)``, each
parameter a graph of one item's data and of one component's atoms. Whether a parameter *is* an
atom, or a known multiple of it, is decided by the value of its graph and not by its form, so that
``tau=t[z]``, ``sigma=1 / pt.sqrt(t)[z]`` and ``sigma=t[z] ** -0.5`` are all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.distributions.multivariate import WishartRV
from pymc.distributions.transforms import _default_transform
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.scalar import Abs, Mul, Pow, Second, Sign
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate.analytic import piecewise
from pymc_dpsteps.mixture.group import without_masks
from pymc_dpsteps.mixture.lift import Lifter
from pymc_dpsteps.mixture.read import with_fixed_shapes
from pymc_dpsteps.mixture.rules import Axis, LiftError
from pymc_dpsteps.mixture.structure import Atom, Block, Conjugacy, Mixture

__all__ = ["AtomView", "Law", "NoPairError", "View"]

_MOST_ATOMS = 1_000

type _Leaves = dict[Variable, TensorVariable]


class NoPairError(ValueError):
    """Prior and likelihood are those of a conjugate pair, but not their parameters."""


@dataclass(frozen=True)
class Law:
    """A distribution with lifted parameters, or what kept them from being lifted.

    Attributes
    ----------
    name : str
        Name of the variable.
    op : object
        PyTensor op of the distribution.
    parameters : tuple of TensorVariable
        Parameters in the order of the op, for one item, observation or component.
    problem : str
        Why there are no parameters; empty where there are.
    group : int or None
        Place among the mixture's grouped terms; None for a row per item, and for atoms.
    """

    name: str
    op: object
    parameters: tuple[TensorVariable, ...]
    problem: str = ""
    group: int | None = None

    @property
    def distribution(self) -> str:
        """Name of the distribution."""
        return type(self.op).__name__.removesuffix("RV")


@dataclass(frozen=True)
class AtomView:
    """An atom: its natural value as a placeholder, and its prior."""

    atom: Atom
    leaf: TensorVariable
    prior: Law

    @property
    def name(self) -> str:
        """Name of the random variable."""
        return str(self.atom.rv.name)

    @property
    def size(self) -> int:
        """Number of scalars in one component's atom."""
        return int(np.prod(self.leaf.type.shape))


class View:
    """Kernel terms and atoms of a mixture in natural parameters.

    Parameters
    ----------
    mixture : Mixture
        A mixture as read by `read_mixture`.

    Attributes
    ----------
    terms : tuple of (Law, TensorVariable)
        Distribution of every kernel variable, and its value for one item or observation.
    atoms : tuple of AtomView
        The atoms in the mixture's order.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture
        model = mixture.model
        self._leaves = {rv: rv.type(name=rv.name) for rv in model.basic_RVs}
        values = model.replace_rvs_by_values(list(self._leaves))
        self._values = dict(zip(self._leaves.values(), values, strict=True))
        self._lifter = Lifter(
            self._leaves[mixture.allocation],
            [self._leaves[rv] for rv in model.free_RVs],
            mixture.n_components,
        )
        self._within = [self._lifter.for_group(term.group) for term in mixture.grouped]
        groups = {term.name: j for j, term in enumerate(mixture.grouped)}
        self.terms = tuple(self._term(model[x], groups.get(x)) for x in mixture.kernel_names)
        self.atoms = tuple(
            AtomView(atom, self._row(atom), self._law(atom.rv, Axis.COMPONENT, self._lifter))
            for atom in mixture.atoms
        )

    # Lifting ---------------------------------------------------------------------------------

    def _term(self, rv: TensorVariable, group: int | None) -> tuple[Law, TensorVariable]:
        lifter = self._lifter if group is None else self._within[group]
        law = replace(self._law(rv, Axis.ITEM, lifter), group=group)
        return law, lifter.take(self._leaves[rv], Axis.ITEM)

    def _law(self, rv: TensorVariable, axis: Axis, lifter: Lifter) -> Law:
        op = rv.owner.op
        try:
            parameters = op.dist_params(rv.owner)
            cores = op.ndims_params
            graphs = clone_replace(list(parameters), self._leaves)
            graphs = _without_sign(_without_fill(without_masks(with_fixed_shapes(graphs))))
            lifted = []
            for graph, core in zip(graphs, cores, strict=True):
                by_row = graph.ndim - core == rv.ndim - op.ndim_supp
                taken = lifter.take(graph, axis) if by_row else lifter.whole(graph)
                lifted.append(taken.astype("float64"))
            rows = {self._leaves[atom.rv] for atom in self._mixture.atoms}
            if foreign := [x.name for x in lifter.atoms if x not in rows]:
                # With one component, a vector of length one need not be the component's.
                raise LiftError(f"{', '.join(foreign)} may belong to all components together")
        except (LiftError, AttributeError, ValueError) as error:
            return Law(rv.name, op, (), str(error))
        return Law(rv.name, op, tuple(lifted))

    def _row(self, atom: Atom) -> TensorVariable:
        return self._lifter.take(self._leaves[atom.rv], Axis.COMPONENT)

    def _source(self, graph: Variable) -> Variable:
        return clone_replace([graph], self._values)[0]

    def _levels(self) -> list[tuple[_Leaves, _Leaves]]:
        """Placeholders here and the mixture's own: of items, of every group, and shared."""
        mixture, lifter = self._mixture, self._lifter
        return [
            (lifter.items, mixture.items),
            *(
                (within.items, term.observations)
                for within, term in zip(self._within, mixture.grouped, strict=True)
            ),
            (lifter.shared, mixture.shared),
        ]

    def _rows(self) -> list[tuple[Variable, TensorVariable]]:
        """Graphs with a row per item or per observation, and their placeholders."""
        return [pair for ours, _ in self._levels()[:-1] for pair in ours.items()]

    def conjugacy(self, blocks: Sequence[Block], reasons: dict[str, str]) -> Conjugacy:
        """Complete what was found by what the placeholders stand for."""
        items, *observations, shared = [
            {source: leaf for x, leaf in ours.items() if (source := self._source(x)) not in theirs}
            for ours, theirs in self._levels()
        ]
        return Conjugacy(tuple(blocks), reasons, items, tuple(observations), shared)

    def has_transform(self, name: str) -> bool:
        """Whether a kernel variable is latent and lives in a transformed space."""
        model = self._mixture.model
        return model.rvs_to_transforms.get(model[name]) is not None

    # Asking ----------------------------------------------------------------------------------

    def depends(self, graphs: Sequence[Variable], atom: AtomView) -> bool:
        """Whether any of the graphs depends on the atom."""
        return atom.leaf in set(ancestors(list(graphs)))

    def atoms_in(self, graphs: Sequence[Variable]) -> tuple[AtomView, ...]:
        """The atoms on which the graphs depend."""
        found = set(ancestors(list(graphs)))
        return tuple(atom for atom in self.atoms if atom.leaf in found)

    def depends_on_item(self, graph: Variable) -> bool:
        """Whether the graph depends on the item's or the observation's own data."""
        return bool({leaf for _, leaf in self._rows()}.intersection(ancestors([graph])))

    def terms_of(self, atom: AtomView) -> list[tuple[Law, TensorVariable]]:
        """Kernel terms whose density depends on an atom; a term that is not understood does."""
        return [
            (law, value)
            for law, value in self.terms
            if law.problem or self.depends(law.parameters, atom)
        ]

    def to_value(self, atom: AtomView, natural: TensorVariable) -> TensorVariable:
        """Value-space row of an atom as a graph of its natural value."""
        rv = atom.atom.rv
        transform = self._mixture.model.rvs_to_transforms[rv]
        if transform is None:
            return natural
        if type(transform) is not type(_default_transform(rv.owner.op, rv)):
            # Onto an interval, or an order: a constraint that the prior's law does not show.
            raise NoPairError(f"{atom.name} has a transform of its own, which may restrict it")
        value = transform.forward(natural[None], *rv.owner.inputs)[0]
        if set(self._mixture.model.basic_RVs).intersection(ancestors([value])):
            raise NoPairError(f"the transform of {atom.name} depends on other variables")
        return value

    def in_values(
        self, graphs: Sequence[TensorVariable], atoms: Sequence[AtomView]
    ) -> list[TensorVariable]:
        """Express graphs by the mixture's own placeholders: atoms in value space, items, shared."""
        known = {
            leaf: theirs[source]
            for ours, theirs in self._levels()
            for x, leaf in ours.items()
            if (source := self._source(x)) in theirs
        }
        for atom in atoms:
            rv, placeholder = atom.atom.rv, atom.atom.placeholder
            transform = self._mixture.model.rvs_to_transforms[rv]
            natural = placeholder
            if transform is not None:
                natural = transform.backward(placeholder[None], *rv.owner.inputs)[0]
                if set(self._mixture.model.basic_RVs).intersection(ancestors([natural])):
                    raise NoPairError(f"the transform of {atom.name} depends on other variables")
            known[atom.leaf] = natural
        return list(clone_replace(list(graphs), known)) if known else list(graphs)

    def identical(
        self,
        pairs: Sequence[tuple[TensorVariable, TensorVariable]],
        around: TensorVariable | None = None,
    ) -> bool:
        """Whether two graphs agree for every item, at random atoms and parameters.

        Both sides are analytic in atoms and parameters: functions that agree at a random point
        agree everywhere, with probability one. `around` is what was subtracted on the way to a
        side, whose rounding is no disagreement.
        """
        sides = [side for pair in pairs for side in pair]
        if (operation := self._piecewise(sides)) is not None:
            raise NoPairError(f"a parameter is not one formula for all values ({operation})")
        model = self._mixture.model
        rng = np.random.default_rng(20_000)
        # Sides that no item enters need a few points, and not a matrix for each of a million items.
        found = set(ancestors(sides if around is None else [*sides, around]))
        rows = [(x, leaf) for x, leaf in self._rows() if leaf in found]
        n_points = max([8, *(x.type.shape[0] for x, _ in rows)])
        items = {leaf: self._source(x)[np.arange(n_points) % x.type.shape[0]] for x, leaf in rows}
        shared = {leaf: self._source(x) for x, leaf in self._lifter.shared.items()}
        # Of a million random matrices some are nearly singular: a few serve all items in turn.
        n_atoms = min(n_points, _MOST_ATOMS)
        turn = np.arange(n_points) % n_atoms
        atoms = {a.leaf: pt.constant(self._random_rows(a, n_atoms, rng)[turn]) for a in self.atoms}
        scale = pt.zeros(()) if around is None else around
        try:
            triples = [pt.broadcast_arrays(*pair, scale) for pair in pairs]
        except ValueError:
            return False  # shapes that do not fit
        sides = [side.astype("float64") for triple in triples for side in triple]
        known = {leaf: x.astype(leaf.dtype) for leaf, x in shared.items()}
        sides = list(clone_replace(sides, known)) if known else sides
        graphs = [vectorize_graph(side, {**items, **atoms}) for side in sides]
        inputs = [v for v in model.value_vars if v in set(ancestors(graphs))]
        start = model.initial_point(random_seed=0)
        point = [
            start[v.name] + rng.normal(size=start[v.name].shape)
            if np.dtype(v.dtype).kind == "f"
            else start[v.name]
            for v in inputs
        ]
        function = pytensor.function(inputs, graphs, mode="FAST_COMPILE", on_unused_input="ignore")
        values = function(*point)
        return all(
            bool(np.all(abs(left - right) <= 1e-10 * abs(right) + 1e-14 * abs(base) + 1e-12))
            for left, right, base in zip(values[::3], values[1::3], values[2::3], strict=True)
        )

    def _piecewise(self, graphs: Sequence[TensorVariable]) -> str | None:
        """Operation by which the graphs are one formula here and another there, if any."""
        found = set(ancestors(list(graphs)))
        leaves = [*self._rows(), *self._lifter.shared.items()]
        sources = {leaf: x for x, leaf in leaves if leaf in found}
        variables = set(self._leaves.values())
        random = {leaf for leaf, x in sources.items() if variables.intersection(ancestors([x]))}
        varying = random.union(atom.leaf for atom in self.atoms)
        return piecewise(graphs, varying) or piecewise(list(sources.values()), variables)

    def _random_rows(self, atom: AtomView, n: int, rng: np.random.Generator) -> np.ndarray:
        """Values in the interior of an atom's support."""
        shape = (n, *atom.leaf.type.shape)
        if isinstance(atom.prior.op, WishartRV):
            root = rng.normal(size=(*shape[:-1], 2 * shape[-1]))
            return np.asarray(root @ np.swapaxes(root, -1, -2))
        transform = self._mixture.model.rvs_to_transforms[atom.atom.rv]
        width = (n, *atom.atom.placeholder.type.shape)
        value = rng.normal(size=width)
        if transform is None:
            return value
        inputs = atom.atom.rv.owner.inputs
        return np.asarray(transform.backward(pt.constant(value), *inputs).eval(mode="FAST_COMPILE"))


def _is_elemwise(x: Variable, scalar_op: type) -> bool:
    node = x.owner
    return (
        node is not None
        and isinstance(node.op, Elemwise)
        and isinstance(node.op.scalar_op, scalar_op)
    )


def _without_fill(graphs: Sequence[TensorVariable]) -> list[TensorVariable]:
    """Write ``fill(x, y)``, by which PyMC matches shapes, so that it no longer depends on x."""
    fills = {
        x: pt.alloc(x.owner.inputs[1], *x.type.shape)
        for x in ancestors(graphs)
        if _is_elemwise(x, Second) and None not in x.type.shape
    }
    return list(clone_replace(list(graphs), fills)) if fills else list(graphs)


def _without_sign(graphs: Sequence[TensorVariable]) -> list[TensorVariable]:
    """Write ``abs(t) ** -0.5 * sign(t)``, which PyMC makes of a precision t, as ``t ** -0.5``.

    They differ for a negative t, where the density is zero.
    """
    roots = {}
    for x in ancestors(graphs):
        if _is_elemwise(x, Mul) and len(x.owner.inputs) == 2:
            power, sign = x.owner.inputs
            if _is_elemwise(power, Pow) and _is_elemwise(sign, Sign):
                base, exponent = power.owner.inputs
                if _is_elemwise(base, Abs) and base.owner.inputs[0] is sign.owner.inputs[0]:
                    roots[x] = sign.owner.inputs[0] ** exponent
    return list(clone_replace(list(graphs), roots)) if roots else list(graphs)
