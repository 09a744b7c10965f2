"""Cut the graphs of a mixture into what varies with the item, the component, and neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.cut import Leaves, cut, hoist
from pymc_dpsteps.mixture.distances import Distance, take_distances
from pymc_dpsteps.mixture.rules import is_constant
from pymc_dpsteps.mixture.structure import Block, Conjugacy, Mixture

__all__ = ["KernelPiece", "Pieces", "as_entry", "cut_mixture"]


@dataclass(frozen=True)
class KernelPiece:
    """Log density of one row of data as a graph of leaves and of distances between leaves."""

    graph: TensorVariable
    distances: tuple[Distance, ...]

    @property
    def graphs(self) -> tuple[TensorVariable, ...]:
        """All graphs of the piece."""
        return self.graph, *(g for d in self.distances for g in d.graphs)

    def with_graphs(self, graphs: Iterable[TensorVariable]) -> KernelPiece:
        """The piece with other graphs, in the order of `graphs`."""
        rest = iter(graphs)
        graph = next(rest)
        distances = tuple(Distance(d.placeholder, *islice(rest, 3)) for d in self.distances)
        return KernelPiece(graph, distances)

    def cut(
        self, varying: set[Variable], leaves: Leaves, shared_leaves: set[TensorVariable]
    ) -> KernelPiece:
        """Cut off what does not depend on `varying`, nor on a distance."""
        varying = varying.union(d.placeholder for d in self.distances)
        return self.with_graphs(cut(self.graphs, varying, leaves, keep=shared_leaves))


@dataclass(frozen=True)
class Pieces:
    """A mixture's graphs, cut to leaves.

    Attributes
    ----------
    kernels : tuple of KernelPiece
        For rows that are the items' own, then for every grouped term.
    log_base : TensorVariable
        Log density of the base measure, of rows of atoms and shared leaves.
    blocks : list of Block
        Conjugate blocks, their graphs hoisted.
    data : list
        For every block and every kind of row, what the statistics take, as graphs of leaves.
    component : dict
        Graph of a row of atoms -> its leaf.
    rows, sources : tuple of dict
        For the items, then for every grouped term: graph of one row of data -> its leaf; and
        placeholder -> source in the frozen model.
    """

    kernels: tuple[KernelPiece, ...]
    log_base: TensorVariable
    blocks: list[Block]
    data: list[list[list[TensorVariable]]]
    component: Leaves
    rows: tuple[Leaves, ...]
    sources: tuple[dict[TensorVariable, Variable], ...]


def cut_mixture(mixture: Mixture, conjugacy: Conjugacy, hoisted: Leaves) -> Pieces:
    """Cut off what is shared, then what is the component's, then what is the item's.

    `hoisted`, graph of the frozen model -> entry of the shared vector, is added to.
    """
    sources = tuple(
        {leaf: source for d in pair for source, leaf in d.items()}
        for pair in [
            (mixture.items, conjugacy.items),
            *zip((t.observations for t in mixture.grouped), conjugacy.observations, strict=True),
        ]
    )
    atom_rows = {atom.placeholder for atom in mixture.atoms}
    of_data: set[Variable] = {leaf for found in sources for leaf in found}
    densities = [mixture.log_kernel, *(term.log_kernel for term in mixture.grouped)]
    kernels = [KernelPiece(*take_distances(x, of_data, atom_rows)) for x in densities]
    kernels, log_base = _hoist_kernels(kernels, mixture.log_base, of_data | atom_rows, hoisted)
    blocks = _hoist_blocks(conjugacy.blocks, of_data | atom_rows, hoisted)

    shared_leaves = set(hoisted.values())
    component: Leaves = {}
    kernels = [kernel.cut(of_data, component, shared_leaves) for kernel in kernels]
    in_columns: set[Variable] = set(component.values())
    rows: tuple[Leaves, ...] = tuple({} for _ in kernels)
    kernels = [
        kernel.cut(in_columns, leaves, shared_leaves)
        for kernel, leaves in zip(kernels, rows, strict=True)
    ]
    data = [
        [
            cut(
                d.graphs,
                set(atom_rows),
                rows[0 if d.group is None else d.group + 1],
                keep=shared_leaves,
            )
            for d in block.data
        ]
        for block in blocks
    ]
    return Pieces(tuple(kernels), log_base, blocks, data, component, rows, sources)


def _hoist_kernels(
    kernels: Sequence[KernelPiece],
    log_base: TensorVariable,
    varying: set[Variable],
    hoisted: Leaves,
) -> tuple[list[KernelPiece], TensorVariable]:
    """Cut off what is shared; what a distance is computed from has to be an entry or a leaf."""
    varying = varying.union(d.placeholder for kernel in kernels for d in kernel.distances)
    graphs = [graph for kernel in kernels for graph in kernel.graphs]
    *graphs, log_base = hoist([*graphs, log_base], varying, hoisted)
    rest = iter(graphs)
    result = []
    for kernel in kernels:
        graph, *of_distances = islice(rest, len(kernel.graphs))
        of_distances = [as_entry(x, hoisted) if is_constant(x) else x for x in of_distances]
        result.append(kernel.with_graphs([graph, *of_distances]))
    return result, log_base


def _hoist_blocks(blocks: Sequence[Block], varying: set[Variable], hoisted: Leaves) -> list[Block]:
    """Cut off what is shared; a prior that depends on nothing else is an entry of its own."""
    result = []
    for block in blocks:
        graphs = [g for d in block.data for g in d.graphs] + [*block.values, block.hyper]
        *graphs, hyper = hoist(graphs, varying | {block.natural}, hoisted)
        rest = iter(graphs)
        data = tuple(replace(d, graphs=tuple(islice(rest, len(d.graphs)))) for d in block.data)
        if not block.given and hyper not in set(hoisted.values()):  # a constant
            hyper = as_entry(hyper, hoisted)
        result.append(replace(block, data=data, values=tuple(rest), hyper=hyper))
    return result


def as_entry(constant: TensorVariable, hoisted: Leaves) -> TensorVariable:
    """Make a constant an entry of the shared vector."""
    if constant not in hoisted:
        hoisted[constant] = pt.tensor(shape=constant.type.shape, dtype="float64")
    return hoisted[constant]
