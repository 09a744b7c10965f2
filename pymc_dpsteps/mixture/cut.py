"""Cut a graph where what varies meets what does not.

A lifted graph mixes what depends on the item, on the component, and on neither. Maximal
subgraphs that do not depend on the varying part are replaced by leaves, so that they can be
computed once, outside the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.rules import is_constant

__all__ = ["Leaves", "cut", "hoist"]

Leaves = dict[Variable, TensorVariable]
"""Subgraph -> the leaf that stands for it."""


def cut(
    graphs: Sequence[Variable],
    varying: set[Variable],
    leaves: Leaves,
    keep: set[TensorVariable] | None = None,
) -> list[TensorVariable]:
    """Replace maximal subgraphs that do not depend on `varying` by new leaves.

    Constants and the variables in `keep` stay in place; new leaves are added to `leaves`,
    subgraph -> leaf.
    """
    keep = keep or set()
    varies: dict[Variable, bool] = {}

    def depends(x: Variable) -> bool:
        if x not in varies:
            varies[x] = x in varying or (
                x.owner is not None and any(depends(y) for y in x.owner.inputs)
            )
        return varies[x]

    replace: dict[Variable, Variable] = {}
    stack, seen = list(graphs), set()
    while stack:
        x = stack.pop()
        if x in seen or x in keep or isinstance(x, Constant):
            continue
        seen.add(x)
        if depends(x) or not isinstance(x, TensorVariable):  # an index is a PyTensor scalar
            stack.extend(x.owner.inputs if x.owner is not None else [])
        elif not is_constant(x) and not (keep and _only_of(x, keep)):
            if x not in leaves:
                leaves[x] = pt.tensor(name=x.name, shape=x.type.shape, dtype=x.type.dtype)
            replace[x] = leaves[x]
    return list(clone_replace(list(graphs), replace)) if replace else list(graphs)


def hoist(graphs: Sequence[Variable], varying: set[Variable], hoisted: Leaves) -> list[Any]:
    """Cut what is shared; `hoisted` maps the model's own graphs, not placeholders, to leaves."""
    sources = {leaf: source for source, leaf in hoisted.items()}
    found: Leaves = {}
    result = cut(graphs, varying, found)
    merged: Leaves = {}
    for graph, leaf in found.items():
        (source,) = clone_replace([graph], sources) if sources else [graph]
        if graph in sources:
            merged[leaf] = graph  # already a leaf of its own
        else:
            hoisted[source] = leaf
    return list(clone_replace(result, merged)) if merged else result


def _only_of(x: Variable, leaves: set[TensorVariable]) -> bool:
    roots = [v for v in ancestors([x]) if v.owner is None and not isinstance(v, Constant)]
    return all(v in leaves for v in roots)
