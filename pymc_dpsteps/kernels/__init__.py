r"""Ready-made kernels: a likelihood F and a base measure G0 in one call.

Each function adds its variables to the PyMC model in context, as the same lines written by hand
would, and returns the observed variable::

    with pm.Model() as model:
        z = dps.ChineseRestaurantProcess("z", 1.0, K=30, shape=len(y))
        dps.kernels.normal("y", z, scale=10.0, observed=y)

All take the name of the observed variable and the allocation z, and by keyword:

observed : array_like or pm.Data
    The data, one row per item. Checked against the support of the kernel. Missing values (NaN or
    masked) are left to PyMC, except in counts and compositions that are vectors.
K : int, optional
    Number of components. Default: the length of the dimension `component`, or the number of slots
    of z.
component : str, optional
    Dimension of the atoms along the components; made where the model lacks it. Default:
    ``"component"`` if the model has that dimension, else the atoms have none.
dims : str or sequence of str, optional
    Dimensions of the observed variable. Vector-valued atoms take over the second one.
prefix : str, optional
    Atoms are called ``mu``, or ``prefix_mu`` with a prefix, which tells several kernels in one
    model apart.
scale_to : array_like, optional
    Data from which prior settings that are not given are derived, as each docstring says. Without
    it nothing is derived from data, and the scale must be given. What is derived from the data to
    be analysed uses these twice.

Prior settings may be numbers or PyMC variables (hyperparameters). A `ratio` is the typical sd
within a component relative to `scale`, the sd of all data. A `prior_shape` near its lower bound
is weak, a large one concentrates the prior.
"""

from pymc_dpsteps.kernels.counts import binomial, multinomial, poisson
from pymc_dpsteps.kernels.multivariate import mvnormal
from pymc_dpsteps.kernels.normal import normal, normal_mean, normal_variance, student_t
from pymc_dpsteps.kernels.proportions import beta, dirichlet
from pymc_dpsteps.kernels.regression import linear_regression
from pymc_dpsteps.kernels.times import exponential, gamma, weibull

__all__ = [
    "beta",
    "binomial",
    "dirichlet",
    "exponential",
    "gamma",
    "linear_regression",
    "multinomial",
    "mvnormal",
    "normal",
    "normal_mean",
    "normal_variance",
    "poisson",
    "student_t",
    "weibull",
]
