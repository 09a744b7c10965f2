"""Graphs as loops: the same numbers as PyTensor's, and only where nothing is guessed."""

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pymc_dpsteps.linalg import sum_log_diagonal
from pymc_dpsteps.mixture.codegen import Layout, write_code
from pymc_dpsteps.mixture.loop_elements import NoLoops, Place
from pymc_dpsteps.mixture.loops import write_loops

S = pt.scalar("s", dtype="float64")
V = pt.vector("v", shape=(4,), dtype="float64")
M = pt.matrix("m", shape=(3, 4), dtype="float64")
B = pt.vector("b", shape=(4,), dtype="bool")
I = pt.vector("i", shape=(3,), dtype="int64")
LEAVES = (S, V, M, B, I)
TABLE = np.array([2, 0, 3, 3])
SQUARE = pt.dot(M, M.T) + 5.0 * pt.eye(3)

GRAPHS = {
    "elements with broadcasting": pt.exp(S) * M + V - I[:, None],
    "one element only": V[:1] * S,
    "sums along axes": pt.concatenate([M.sum(axis=0), pt.sqr(M).sum(axis=1)]),
    "sum where not all": pt.switch(B.all(), -1.0, V.sum()),
    "sum where any": pt.switch((V > 0.0).any(), V.sum(), -1.0),
    "maximum": V - V.max(),
    "number of truths": B.sum() * S,
    "slices": M[1:, ::-1] + V[-1],
    "table of indices": V[TABLE] * M[1][TABLE],
    "reshaped": M.reshape((2, 6)) + M.T.reshape((2, 6)),
    "entries replaced": pt.set_subtensor(pt.exp(V)[TABLE[:3]], I),
    "entries increased": pt.inc_subtensor(M[1, 1:], V[1:]),
    "product": pt.dot(M, M.T),
    "diagonal": pt.diagonal(SQUARE) + I,
    "constant vector": M * np.arange(4.0) + V * np.ones(4),
    "root": pt.linalg.cholesky(SQUARE),
    "root of an inverse": pt.linalg.cholesky(4.0 * pt.linalg.inv(SQUARE)),
    "log determinant": pt.log(pt.diagonal(pt.linalg.cholesky(SQUARE))).sum(),
    "solution": pt.linalg.solve_triangular(
        pt.linalg.cholesky(SQUARE), M[:, 0], lower=True, b_ndim=1
    ),
}


def values():
    rng = np.random.default_rng(0)
    return [
        np.array(0.3),
        rng.normal(size=4),
        rng.normal(size=(3, 4)),
        np.array([True, False, True, True]),
        np.array([3, -2, 7]),
    ]


def places(row, layout):
    return {leaf: Place(row, layout.at(leaf)) for leaf in layout.leaves}


def run(code, row, width):
    body = "\n    ".join([*code.before, *code.lines, "return out"])
    names = dict(code.names)
    exec(f"def compute(row, out):\n    {body}\n", names)
    return numba.njit(error_model="numpy")(names["compute"])(row, np.full(width, np.nan))


@pytest.mark.parametrize("name", GRAPHS)
def test_loops_compute_what_pytensor_does(name):
    graph = GRAPHS[name].astype("float64")
    given = values()
    expected = pytensor.function(LEAVES, graph, mode="FAST_COMPILE", on_unused_input="ignore")(
        *given
    )
    code = write_loops("x_", [graph], places("row", Layout.of(LEAVES)), [Place("out", 2)])
    row = np.concatenate([np.ravel(x).astype(np.float64) for x in given])
    found = run(code, row, 2 + expected.size)
    assert np.isnan(found[:2]).all()
    np.testing.assert_allclose(found[2:], np.ravel(expected), rtol=1e-12, atol=1e-14)


REFUSED = {
    "a shape that is not known": pt.exp(V[B]).sum(),
    "another operation": pt.cumsum(V),
    "an index that varies": V[I[0]] * S,
    "an entry increased twice": pt.inc_subtensor(pt.exp(V)[TABLE], 1.0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_graphs_are_left_to_pytensor(name):
    with pytest.raises(NoLoops):
        write_loops("x_", [REFUSED[name]], places("row", Layout.of(LEAVES)), [Place("out", 0)])


def test_what_is_left_to_pytensor_is_computed_as_well():
    layout = Layout.of([S, V])
    code = write_code("x_", [pt.cumsum(V), S * 2.0], {"row": layout}, [Place("out", 0), None])
    row = np.array([0.3, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(run(code, row, 4), np.cumsum(row[1:]))


def test_logarithms_of_extreme_diagonals():
    for scale in (1e-150, 1e-3, 1.0, 1e3, 1e150):
        diagonal = scale * np.arange(1.0, 21.0)
        found = sum_log_diagonal(20, np.diag(diagonal).ravel(), 0)
        np.testing.assert_allclose(found, np.log(diagonal).sum(), rtol=1e-12)
    assert np.isnan(sum_log_diagonal(2, np.array([np.nan, 0.0, 0.0, 1.0]), 0))
