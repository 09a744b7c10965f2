"""What a step has compiled, seen from outside: the kernel of every item under every component."""

import numpy as np


def kernel_table(step, point):
    """Log F(data of item i | atoms of component k) at a point, shape (N, K)."""
    step._unpack(point)
    state, functions = step._state, step._compiled.functions
    n_components = len(state.counts)
    functions["derive"](state.values, 0, n_components, state.shared, state.columns)
    table = np.zeros((len(state.z), n_components))
    for i, row in enumerate(table):
        functions["kernel"](
            i, np.arange(n_components), n_components, state.items, state.columns, state.shared, row
        )
    return table
