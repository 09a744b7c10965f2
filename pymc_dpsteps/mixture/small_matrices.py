"""Small matrices in compiled graphs: hand-written operations in place of LAPACK's.

PyTensor's linear algebra calls LAPACK, which on matrices of a few rows costs more in overhead
than in arithmetic, allocates, and takes numba most of a minute to compile. Up to `MAX_SIZE` rows,
the operations of this module replace it wherever a graph has them. What is larger, or is used in
another way, stays with PyTensor.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key
from pytensor.scalar import GT, Log, Mul, ScalarType
from pytensor.scalar import bool as scalar_bool
from pytensor.scalar import float64 as scalar_float64
from pytensor.tensor.basic import ExtractDiag
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky
from pytensor.tensor.linalg.inverse import MatrixInverse
from pytensor.tensor.linalg.solvers.triangular import SolveTriangular
from pytensor.tensor.math import All, Sum
from pytensor.tensor.random.basic import MvNormalRV

from pymc_dpsteps import linalg
from pymc_dpsteps.jit import source_key
from pymc_dpsteps.mixture.rules import is_constant

__all__ = [
    "MAX_SIZE",
    "PackedRoot",
    "SmallMatrixOp",
    "core_op",
    "is_small",
    "small_matrix_mode",
    "solves_lower",
]

MAX_SIZE = 32


class SmallMatrixOp(Op):
    """An operation on vectors and matrices of a few rows, all float64.

    Subclasses say what it computes, as a function that numba compiles.
    """

    __props__ = ()
    gufunc_signature: ClassVar[str]
    output_ndim: ClassVar[int]
    # The same on vectors that hold the arrays by rows: (d, input, place, ..., output, place).
    in_rows: ClassVar[Any] = None

    @staticmethod
    def compute(*inputs: Any) -> Any:
        """The operation on arrays."""
        raise NotImplementedError

    def make_node(self, *inputs: Any) -> Apply:
        """Apply the operation; the output has the shape of the last input."""
        arguments = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        shape = arguments[-1].type.shape[: self.output_ndim]
        return Apply(self, arguments, [pt.tensor(shape=shape, dtype="float64")])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compute in Python, where PyTensor folds constants."""
        output_storage[0][0] = np.asarray(self.compute(*inputs))

    def infer_shape(self, node: Apply, shapes: Any) -> list[Any]:
        """The shape of the last input."""
        return [shapes[-1][: self.output_ndim]]


class Root(SmallMatrixOp):
    """Lower Cholesky factor."""

    gufunc_signature = "(m,m)->(m,m)"
    output_ndim = 2
    in_rows = linalg.root

    @staticmethod
    def compute(a: np.ndarray) -> np.ndarray:
        """Factor the lower triangle."""
        out = np.empty(a.shape)
        linalg.root(len(a), np.ascontiguousarray(a).reshape(-1), 0, out.reshape(-1), 0)
        return out


class RootOfInverse(SmallMatrixOp):
    """Lower Cholesky factor of the inverse of a positive-definite matrix."""

    gufunc_signature = "(m,m)->(m,m)"
    output_ndim = 2
    in_rows = linalg.root_of_inverse

    @staticmethod
    def compute(a: np.ndarray) -> np.ndarray:
        """Factor the lower triangle."""
        out = np.empty(a.shape)
        flat = np.ascontiguousarray(a).reshape(-1)
        linalg.root_of_inverse(len(a), flat, 0, out.reshape(-1), 0)
        return out


class Inverse(SmallMatrixOp):
    """Inverse of a square matrix."""

    gufunc_signature = "(m,m)->(m,m)"
    output_ndim = 2

    @staticmethod
    def compute(a: np.ndarray) -> np.ndarray:
        """Invert a copy."""
        out = np.empty(a.shape)
        linalg.inverse(a.copy(), out)
        return out


class PackedRoot(SmallMatrixOp):
    """A lower triangular matrix by columns, its diagonal inverted."""

    gufunc_signature = "(m,m)->(p)"
    output_ndim = 1
    in_rows = linalg.packed_root

    @staticmethod
    def compute(root: np.ndarray) -> np.ndarray:
        """Pack the lower triangle."""
        out = np.empty(len(root) * (len(root) + 1) // 2)
        linalg.packed_root(len(root), np.ascontiguousarray(root).reshape(-1), 0, out, 0)
        return out

    def make_node(self, *inputs: Any) -> Apply:
        """Apply the operation to a matrix of known size."""
        (root,) = inputs
        d = root.type.shape[-1]
        return Apply(self, [root], [pt.tensor(shape=(d * (d + 1) // 2,), dtype="float64")])

    def infer_shape(self, node: Apply, shapes: Any) -> list[Any]:
        """The size is known."""
        return [(pt.constant(node.outputs[0].type.shape[0], dtype="int64"),)]


class SolveLowerVector(SmallMatrixOp):
    """``L⁻¹ x`` for a vector x."""

    gufunc_signature = "(m,m),(m)->(m)"
    output_ndim = 1
    in_rows = linalg.solve_lower_vector

    @staticmethod
    def compute(root: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Solve for a copy."""
        out = x.copy()
        linalg.solve_lower(root, out)
        return out


class SolveLowerMatrix(SmallMatrixOp):
    """``L⁻¹ X`` for a matrix X."""

    gufunc_signature = "(m,m),(m,n)->(m,n)"
    output_ndim = 2

    @staticmethod
    def compute(root: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Solve for the columns of a copy."""
        out = x.copy()
        for j in range(x.shape[1]):
            linalg.solve_lower(root, out[:, j])
        return out


class TimesLower(SmallMatrixOp):
    """``L x`` for a vector x."""

    gufunc_signature = "(m,m),(m)->(m)"
    output_ndim = 1
    in_rows = linalg.times_lower

    @staticmethod
    def compute(root: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Multiply by the lower triangle."""
        out = np.zeros(len(x))
        for i in range(len(x)):
            for l in range(i + 1):
                out[i] += root[i, l] * x[l]
        return out


class OfDiagonal(SmallMatrixOp):
    """A function of a matrix's diagonal, as a PyTensor scalar: it makes no arrays."""

    output_type: ClassVar[ScalarType] = scalar_float64

    def make_node(self, *inputs: Any) -> Apply:
        """Apply the operation."""
        return Apply(self, list(inputs), [self.output_type()])

    def infer_shape(self, node: Apply, shapes: Any) -> list[Any]:
        """A scalar has no shape."""
        return [()]


class SumLogDiagonal(OfDiagonal):
    """Sum of the diagonal's logarithms."""

    in_rows = linalg.sum_log_diagonal

    @staticmethod
    def compute(a: np.ndarray) -> float:
        """Add up."""
        return linalg.sum_log_diagonal(len(a), np.ascontiguousarray(a).reshape(-1), 0)


class PositiveDiagonal(OfDiagonal):
    """Whether the diagonal is positive; a factor of what has none is not a number."""

    output_type = scalar_bool
    in_rows = linalg.positive_diagonal

    @staticmethod
    def compute(a: np.ndarray) -> bool:
        """Look at every entry."""
        return linalg.positive_diagonal(len(a), np.ascontiguousarray(a).reshape(-1), 0)


@register_funcify_and_cache_key(SmallMatrixOp)
def _funcify(op: SmallMatrixOp, node: Apply | None = None, **kwargs: Any) -> tuple[Any, str]:
    kind = type(op)
    key = f"{kind.__module__}.{kind.__qualname__}:{source_key(kind.__module__)}"
    return numba_njit(op.compute), sha256(key.encode()).hexdigest()


def core_op(x: Variable) -> Any:
    """The operation that makes `x`, on its core dimensions."""
    op = x.owner.op
    return op.core_op if isinstance(op, Blockwise) else op


def solves_lower(op: Any, b_ndim: int) -> bool:
    """Whether `op` solves ``L x = b`` for a vector or a matrix b."""
    solves = isinstance(op, SolveTriangular) and op.lower and not op.unit_diagonal
    return solves and op.b_ndim == b_ndim


def is_small(matrix: Variable) -> bool:
    """Whether a matrix is known to have at most `MAX_SIZE` rows."""
    n_rows = matrix.type.shape[-1]
    return n_rows is not None and n_rows <= MAX_SIZE and matrix.dtype == "float64"


def _counterpart(op: Any) -> SmallMatrixOp | None:
    match op:
        case Cholesky(lower=True):
            return Root()
        case MatrixInverse():
            return Inverse()
        case SolveTriangular() if solves_lower(op, b_ndim=1):
            return SolveLowerVector()
        case SolveTriangular() if solves_lower(op, b_ndim=2):
            return SolveLowerMatrix()
    return None


@node_rewriter([Blockwise, Cholesky, MatrixInverse, SolveTriangular])
def _replace_linear_algebra(fgraph: Any, node: Apply) -> list[Variable] | None:
    small = _counterpart(core_op(node.outputs[0]))
    if small is None or not is_small(node.inputs[0]):
        return None
    return [Blockwise(small)(*node.inputs)]


@node_rewriter([Blockwise, Root])
def _replace_roots_of_inverses(fgraph: Any, node: Apply) -> list[Variable] | None:
    """A root of an inverse, also of a multiple of one, needs no inverse."""
    if not isinstance(core_op(node.outputs[0]), Root):
        return None
    (matrix,) = node.inputs
    factor: Any = 1.0
    if matrix.owner is not None and isinstance(matrix.owner.op, Elemwise):
        if not isinstance(matrix.owner.op.scalar_op, Mul) or len(matrix.owner.inputs) != 2:
            return None
        factor, matrix = matrix.owner.inputs
        if not (is_constant(factor) and np.size(factor.eval()) == 1 and np.all(factor.eval() > 0)):
            return None
        factor = np.sqrt(factor.eval())
    if matrix.owner is None or not isinstance(core_op(matrix), Inverse):
        return None
    return [factor * Blockwise(RootOfInverse())(matrix.owner.inputs[0])]


@node_rewriter([Sum, All])
def _replace_reductions_of_diagonals(fgraph: Any, node: Apply) -> list[Variable] | None:
    """``sum(log(diag(L)))`` and ``all(diag(L) > 0)``, as the densities of matrices have them."""
    inner = node.inputs[0].owner
    if node.out.ndim > 0 or inner is None or not isinstance(inner.op, Elemwise):
        return None
    matrix = _diagonal_of(inner.inputs[0])
    if matrix is None or not is_small(matrix):
        return None
    if isinstance(node.op, Sum) and isinstance(inner.op.scalar_op, Log):
        return [pt.tensor_from_scalar(SumLogDiagonal()(matrix))]
    is_sign = isinstance(inner.op.scalar_op, GT) and is_constant(inner.inputs[1])
    if isinstance(node.op, All) and is_sign and not np.any(inner.inputs[1].eval()):
        return [pt.tensor_from_scalar(PositiveDiagonal()(matrix))]
    return None


def _diagonal_of(x: Variable) -> Variable | None:
    """The matrix of which `x` is the main diagonal."""
    node = x.owner
    if x.ndim != 1 or node is None or not isinstance(node.op, ExtractDiag) or node.op.offset != 0:
        return None
    return node.inputs[0]


@node_rewriter([MvNormalRV])
def _replace_normal_draws(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Draw ``mean + L ε``."""
    rng, _, mean, covariance = node.inputs
    shape = node.outputs[1].type.shape
    if not is_small(covariance) or None in shape or node.op.method != "cholesky":
        return None
    noise = pt.random.normal(size=shape, rng=rng)
    draw = mean + Blockwise(TimesLower())(Blockwise(Root())(covariance), noise)
    return [noise.owner.outputs[0], draw.astype(node.outputs[1].dtype)]


def small_matrix_mode() -> Mode:
    """PyTensor's numba mode with the operations of this module, after its other rewrites."""
    rewrites: list[Callable[..., Any]] = [
        _replace_linear_algebra,
        _replace_roots_of_inverses,
        _replace_reductions_of_diagonals,
        _replace_normal_draws,
    ]
    return get_mode("NUMBA").register((in2out(*rewrites, name="small_matrices"), 2.5))
