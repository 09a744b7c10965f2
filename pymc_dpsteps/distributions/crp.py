"""The Chinese restaurant process, and its Pitman-Yor extension, on labels in K slots."""

from collections.abc import Callable
from hashlib import sha256
from inspect import getsource
from typing import Any

import numba
import numpy as np
import pytensor.tensor as pt
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import Discrete
from pymc.distributions.shape_utils import convert_shape
from pymc.pytensorf import floatX
from pytensor.graph.basic import Apply
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.variable import TensorConstant, TensorVariable

__all__ = ["ChineseRestaurantProcess", "ChineseRestaurantProcessRV"]

type Tensor = ArrayLike | TensorVariable
type Labels = NDArray[np.int64]


@numba.njit
def _survival_ratios(alpha: float, discount: float, K: int, N: int) -> NDArray[np.float64]:
    """Ratios r(i, k), 1 <= k < i, for a process that must end with at most K clusters.

    Let f(i, k) be the probability of at most K clusters at the end given k clusters after i
    items: f(i, k) = p f(i+1, k+1) + (1-p) f(i+1, k) with p = (alpha + discount k) / (alpha + i).
    f can underflow, but r(i, k) = f(i, k+1) / f(i, k) does not. It obeys, without subtraction,
    r(i, k) = r(i+1, k) g(k+1) / g(k), where g(k) = 1 - p + p r(i+1, k).
    """
    ratios = np.zeros((N + 1, K + 1))
    ratios[N, :K] = 1.0
    for i in range(N - 1, 1, -1):
        after = ratios[i + 1]
        for k in range(1, min(i, K)):
            # Both times alpha + i, which cancels.
            with_k = i - discount * k + (alpha + discount * k) * after[k]
            one_more = i - discount * (k + 1) + (alpha + discount * (k + 1)) * after[k + 1]
            ratios[i, k] = after[k] * one_more / with_k
    return ratios


@numba.njit
def _draw_labels(rng: Generator, alpha: float, discount: float, K: int, N: int) -> Labels:
    """Draw N labels from the process, given that it occupies at most K slots.

    For K >= N the condition always holds and this is the sequential rule. For K < N the odds of
    a new cluster are multiplied by r(i+1, k) (Doob's h-transform), which makes the draw exact.
    """
    if not (0.0 < alpha < np.inf and 0.0 <= discount < 1.0):
        raise ValueError("ChineseRestaurantProcess needs 0 < alpha < inf and 0 <= discount < 1.")
    ratios = _survival_ratios(alpha, discount, K, N) if K < N else np.ones((1, 1))
    labels = np.empty(N, dtype=np.int64)
    sizes = np.zeros(K, dtype=np.int64)
    slots = np.arange(K)  # the first `occupied` are taken, the others empty
    occupied = 0
    for i in range(N):
        new = alpha + discount * occupied
        if i > 0 and K < N:
            new *= ratios[i + 1, occupied]
        old = i - discount * occupied
        if i == 0 or rng.random() * (new + old) < new:
            chosen = rng.integers(occupied, K)
            slots[occupied], slots[chosen] = slots[chosen], slots[occupied]
            label = slots[occupied]
            occupied += 1
        else:
            # Follow an earlier item, then correct sizes[label] to sizes[label] - discount.
            label = labels[rng.integers(0, i)]
            while rng.random() * sizes[label] >= sizes[label] - discount:
                label = labels[rng.integers(0, i)]
        labels[i] = label
        sizes[label] += 1
    return labels


class ChineseRestaurantProcessRV(RandomVariable):
    """Random labels of N items, with distribution parameters (alpha, discount, K, N)."""

    name = "chinese_restaurant_process"
    signature = "(),(),(),()->(n)"
    dtype = "int64"
    _print_name = ("ChineseRestaurantProcess", r"\operatorname{ChineseRestaurantProcess}")

    def _supp_shape_from_params(self, dist_params: Any, param_shapes: Any = None) -> tuple:
        return (dist_params[3].squeeze(),)  # squeeze: N is padded to the dimensions of a batch

    @classmethod
    def rng_fn(cls, rng: Generator, *dist_params_and_size: Any) -> Labels:
        """Draw label vectors of shape ``(*size, N)``."""
        alpha, discount, K, N, size = dist_params_and_size
        batch = np.broadcast_shapes(alpha.shape, discount.shape) if size is None else tuple(size)
        alpha, discount = np.broadcast_to(alpha, batch), np.broadcast_to(discount, batch)
        labels = np.empty((*batch, N.item()), dtype=np.int64)
        for i in np.ndindex(batch):
            labels[i] = _draw_labels(rng, float(alpha[i]), float(discount[i]), K.item(), N.item())
        return labels


@numba_core_rv_funcify.register(ChineseRestaurantProcessRV)
def _numba_core_rv(op: ChineseRestaurantProcessRV, node: Apply) -> tuple[Callable, int]:
    # The disk cache is keyed by the source, so that an upgrade never runs an older draw.
    source = getsource(_survival_ratios.py_func) + getsource(_draw_labels.py_func)
    return _draw_labels, int(sha256(source.encode()).hexdigest(), 16)


def _check_if_known(argument: str, value: TensorVariable, valid: Callable, wanted: str) -> None:
    if isinstance(value, TensorConstant) and not np.all(valid(value.data)):
        found = value.data.tolist()
        raise ValueError(f"ChineseRestaurantProcess: {argument} = {found}. Give {wanted}.")


class ChineseRestaurantProcess(Discrete):
    r"""
    Labels of N items under a Chinese restaurant process, stored in K slots.

    With a positive discount this is the two-parameter (Pitman-Yor) process. Clusters are
    numbered by slots: a new cluster takes any empty slot with equal probability.

    .. math::

        f(z \mid \alpha, d) = \frac{(K - k^+)!}{K!} \;
            \frac{\prod_{l=1}^{k^+ - 1} (\alpha + l d)}{(\alpha + 1)_{N-1}}
            \prod_{j : n_j > 0} (1 - d)_{n_j - 1}

    where :math:`n_j` is the number of items with label :math:`j`, :math:`k^+` the number of
    occupied slots and :math:`(x)_m = x (x+1) \cdots (x+m-1)`.

    =======  ====================================
    Support  :math:`z \in \{0, \ldots, K-1\}^N`
    =======  ====================================

    Parameters
    ----------
    alpha : tensor_like of float
        Concentration (0 < alpha < infinity).
    discount : tensor_like of float, default=0.0
        Discount d (0 <= d < 1); zero is the Dirichlet process.
    K : int
        Number of slots, at least 1. A plain integer: it is part of the model's structure.
    shape : int or tuple of int
        Shape of the variable; the last entry is the number of items N, the others are
        independent copies. Not needed with ``dims`` or ``observed``. ``size`` means the same.
    **kwargs
        Passed to :class:`pymc.Distribution`. The variable has dtype int64.

    Raises
    ------
    ValueError
        If K is not an integer >= 1, a constant alpha or discount is outside its range, or the
        number of items is not known.

    Notes
    -----
    For ``K >= N`` every partition fits and :math:`f` sums to one over all label vectors.

    For ``K < N`` it is the infinite process restricted to at most K clusters, *not*
    renormalised: it sums to :math:`P(k^+ \le K \mid \alpha, d)`. The missing factor would
    depend on alpha and discount, so leaving it out makes the joint posterior of
    (alpha, discount, z) that of the infinite process given that K slots suffice. Random draws
    for given alpha and discount come from :math:`f / P(k^+ \le K \mid \alpha, d)`, exactly, in
    O(NK) time and memory (O(N) time for ``K >= N``). Prior predictive draws of alpha hence
    follow its declared prior, not that prior weighted with :math:`P(k^+ \le K \mid \alpha, d)`.

    References
    ----------
    .. [1] Blackwell, D. and MacQueen, J. B. (1973). Ferguson distributions via Pólya urn
       schemes. The Annals of Statistics 1, 353-355.
    .. [2] Aldous, D. J. (1985). Exchangeability and related topics. École d'Été de
       Probabilités de Saint-Flour XIII. Springer, 1-198.
    .. [3] Pitman, J. and Yor, M. (1997). The two-parameter Poisson-Dirichlet distribution
       derived from a stable subordinator. The Annals of Probability 25, 855-900.
    .. [4] Pitman, J. (2006). Combinatorial Stochastic Processes. Springer, chapters 2 and 3.

    Examples
    --------
    An infinite mixture, in a model with the dimensions "obs" and "component"::

        alpha = pm.Gamma("alpha", 2, 4)
        mu = pm.Normal("mu", 0, 10, dims="component")
        z = ChineseRestaurantProcess("z", alpha, K=30, dims="obs")
        pm.Normal("y", mu[z], 1, observed=y, dims="obs")
    """

    rv_op = ChineseRestaurantProcessRV()

    @classmethod
    def dist(
        cls, alpha: Tensor, discount: Tensor = 0.0, *, K: int, shape: Any = None, **kwargs: Any
    ) -> TensorVariable:
        """Make the variable outside a model; see the class for the parameters."""
        if isinstance(K, bool) or not isinstance(K, int | np.integer) or K < 1:
            raise ValueError(
                f"ChineseRestaurantProcess: K = {K!r} of type {type(K).__name__} is not a number "
                "of slots. Give an integer of at least 1, such as K=30."
            )
        size = kwargs.pop("size", None)
        lengths = convert_shape(size if shape is None else shape)
        if not lengths or (shape is not None and size is not None):
            raise ValueError(
                f"ChineseRestaurantProcess: the number of items N is not known: found {shape=} "
                f"and {size=}. Give one of dims, observed, shape or size."
            )
        alpha, discount = (pt.as_tensor_variable(floatX(value)) for value in (alpha, discount))
        # int64 because the int8 that PyTensor gives to a small constant overflows in K + 1.
        K_, N = (pt.as_tensor_variable(value, dtype="int64") for value in (int(K), lengths[-1]))
        _check_if_known("alpha", alpha, lambda a: (a > 0) & (a < np.inf), "0 < alpha < inf")
        _check_if_known("discount", discount, lambda d: (d >= 0) & (d < 1), "0 <= discount < 1")
        _check_if_known("shape[-1]", N, lambda n: n >= 1, "at least one item")
        return super().dist([alpha, discount, K_, N], shape=lengths, **kwargs)

    @staticmethod
    def support_point(rv: TensorVariable, size: Any, *dist_params: Any) -> TensorVariable:
        """Put all items into slot 0."""
        return pt.zeros(rv.owner.op._infer_shape(size, dist_params), dtype=rv.dtype)

    @staticmethod
    def logp(value: TensorVariable, *dist_params: TensorVariable) -> TensorVariable:
        """Log of the density in the class docstring, one for each label vector of a batch."""
        alpha, discount, K, N = dist_params
        K, N = K.squeeze(), N.squeeze()
        value = pt.specify_shape(value, (*(None,) * (value.ndim - 1), N))
        labels = pt.clip(value.astype("int64"), 0, K - 1)
        rows = labels.reshape((-1, N))
        cells = rows + K * pt.arange(rows.shape[0])[:, None]  # the slots of all rows in a line
        sizes = pt.zeros(rows.shape[0] * K, dtype="int64")[cells.ravel()].inc(1)
        sizes = sizes.reshape((*tuple(labels.shape)[:-1], K))
        occupied = pt.sum(sizes > 0, axis=-1)
        index, d = pt.arange(1, K), discount[..., None]
        opened = pt.switch(index < occupied[..., None], pt.log(alpha[..., None] + index * d), 0.0)
        # An empty slot counts like a singleton, which contributes exactly zero.
        joined = pt.gammaln(pt.maximum(sizes, 1) - d) - pt.gammaln(1 - d)
        log_seats = pt.gammaln(alpha + N) - pt.gammaln(alpha + 1)
        log_slots = pt.gammaln(K + 1) - pt.gammaln(K - occupied + 1)
        logp = opened.sum(axis=-1) + joined.sum(axis=-1) - log_seats - log_slots
        return check_parameters(
            pt.switch(pt.all(pt.eq(value, labels), axis=-1), logp, -np.inf),
            *(alpha > 0, alpha < np.inf, discount >= 0, discount < 1),
            msg="0 < alpha < inf and 0 <= discount < 1",
        )
