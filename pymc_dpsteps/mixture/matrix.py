"""The kernel of every item under every component at once, as one graph."""

from __future__ import annotations

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.mixture.structure import Mixture

__all__ = ["log_kernel_matrix"]


def log_kernel_matrix(mixture: Mixture) -> TensorVariable:
    """``log F(y_i | atoms of k)`` for all items and components.

    Parameters
    ----------
    mixture : Mixture
        A model as read by `read_mixture`.

    Returns
    -------
    TensorVariable
        Shape (N, K), a graph of the value variables of ``mixture.model``. Where an item has
        several observations it is the sum over these; it is zero where it has none.
    """
    result = _at_all(mixture, mixture.log_kernel, mixture.items, mixture.n_items)
    for term in mixture.grouped:
        rows = _at_all(mixture, term.log_kernel, term.observations, len(term.group))
        result = pt.inc_subtensor(result[term.group], rows)
    return result


def _at_all(
    mixture: Mixture,
    log_kernel: TensorVariable,
    rows: dict[Variable, TensorVariable],
    n_rows: int,
) -> TensorVariable:
    replace: dict[Variable, Variable] = {
        placeholder: pt.expand_dims(source, 1) for source, placeholder in rows.items()
    }
    for atom in mixture.atoms:
        replace[atom.placeholder] = pt.expand_dims(atom.value_var, 0)
    replace |= {placeholder: source for source, placeholder in mixture.shared.items()}
    (result,) = vectorize_graph([log_kernel], replace)
    return pt.broadcast_to(result, (n_rows, mixture.n_components)).astype("float64")
