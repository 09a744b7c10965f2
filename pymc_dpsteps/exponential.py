"""The exponential of what is at most 0: a loop over it becomes vector instructions.

The math library's `exp` is a call per number. Weights of candidates are exponentials of
differences from the largest one, and the greater part of a sweep's time.
"""

from __future__ import annotations

from typing import Any

from numba import float64, int64
from numba.extending import intrinsic

from pymc_dpsteps.jit import njit_inline

__all__ = ["exp_negative"]


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(int64))

    return int64(float64), codegen


@intrinsic
def _from_bits(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(float64))

    return float64(int64), codegen


as_bits: Any = _bits
as_float: Any = _from_bits

_SMALLEST = -708.0  # below, results are not normal numbers
_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has few enough digits that n times it is exact (Cody and Waite).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 × 2^52: adding it rounds to an integer, held in the last bits


@njit_inline
def exp_negative(x: float) -> float:
    """Exponential of x <= 0 to the last digit; 0 below -708, and for what is not a number.

    exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, where the Taylor series of degree 13 is exact to
    4e-18; n is added to the exponent of the result.
    """
    inside = x > _SMALLEST
    y = x if inside else 0.0
    shifted = y * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    # In pairs (Estrin): operations that wait for each other are a third of Horner's.
    r2 = r * r
    r4 = r2 * r2
    p2 = (0.5 + 1.0 / 6.0 * r) + (1.0 / 24.0 + 1.0 / 120.0 * r) * r2
    p6 = (1.0 / 720.0 + 1.0 / 5040.0 * r) + (1.0 / 40320.0 + 1.0 / 362880.0 * r) * r2
    p10 = (1.0 / 3628800.0 + 1.0 / 39916800.0 * r) + (
        1.0 / 479001600.0 + 1.0 / 6227020800.0 * r
    ) * r2
    p = 1.0 + (r + (p2 + (p6 + p10 * r4) * r4) * r2)
    result: float = as_float(as_bits(p) + (as_bits(shifted) << 52))
    return result if inside else 0.0
