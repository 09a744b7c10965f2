"""Exact posteriors of small mixtures from the marginal likelihood of every subset of the items.

Given the labels, the clusters are independent: what the data say of a partition is a product over
its clusters of a function of the cluster's items alone. Of N items there are 2^N subsets, each of
which is integrated once, by a closed form or by quadrature; all label vectors are then summed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

from tests.helpers_chain import slot_counts
from tests.helpers_exact import Array, LogPrior, all_labels
from tests.helpers_models import exact_functionals

type Masks = NDArray[np.bool_]


def subsets(n_items: int) -> Masks:
    """Members of every subset, shape (2^N, N); row r holds the binary digits of r."""
    return (np.arange(2**n_items)[:, None] >> np.arange(n_items)) % 2 == 1


@dataclass(frozen=True)
class Subsets:
    """What the data of every subset of the items say of the one component that it shares.

    Attributes
    ----------
    log_marginal : (2^N,)
        Log marginal likelihood, 0 for the empty set.
    means : mapping of str to (2^N,)
        Posterior expectations of functions of the component's atoms.
    """

    log_marginal: Array
    means: Mapping[str, Array] = field(default_factory=dict)

    def posterior(
        self, n_components: int, log_prior: LogPrior, *, item: int = 0
    ) -> dict[str, float]:
        """Exact expectations of `partition_functionals` and, for one item's component, `means`."""
        n_items = len(self.log_marginal).bit_length() - 1
        labels = all_labels(n_items, n_components)
        counts = slot_counts(labels, n_components)
        bits = 2 ** np.arange(n_items)
        of_slot = [(labels == k) @ bits for k in range(n_components)]
        log_posterior = log_prior(counts) + sum(self.log_marginal[s] for s in of_slot)
        probability = np.exp(log_posterior - logsumexp(log_posterior))
        exact = exact_functionals(labels, n_components, probability)
        own = (labels == labels[:, [item]]) @ bits
        return exact | {name: float(probability @ m[own]) for name, m in self.means.items()}


def by_closed_form(n_items: int, integrate: Callable[[Masks], tuple[float, dict]]) -> Subsets:
    """From a function of a mask that returns log marginal likelihood and posterior means."""
    rows = [integrate(mask) for mask in subsets(n_items)]
    names = rows[-1][1]
    return Subsets(
        np.array([log_marginal for log_marginal, _ in rows]),
        {name: np.array([means[name] for _, means in rows]) for name in names},
    )


def by_quadrature(
    log_weights: Array, log_likelihood: Array, functions: Mapping[str, Array]
) -> Subsets:
    """From a quadrature rule over the atoms of one component.

    Parameters
    ----------
    log_weights : (G,)
        Log of prior density times weight at every node.
    log_likelihood : (2^N, G)
        Log density of the data of every subset at every node.
    functions : mapping of str to (G,) or (2^N, G)
        Functions of the atoms, or their expectations given the node and the subset's data.
    """
    assert abs(logsumexp(log_weights)) < 1e-8, "the rule does not integrate the prior to one"
    log_joint = log_likelihood + log_weights
    log_marginal = logsumexp(log_joint, axis=1)
    posterior = np.exp(log_joint - log_marginal[:, None])
    means = {name: (posterior * f).sum(axis=1) for name, f in functions.items()}
    return Subsets(log_marginal, means)


def of_subsets(log_density: Array) -> Array:
    """Log density of every subset, (2^N, G), of items that are independent given the node."""
    return subsets(len(log_density)) @ log_density


def normal_rule(mean: float, sd: float, n: int = 101, reach: float = 8.0) -> tuple[Array, Array]:
    """Nodes and log weights of the trapezoidal rule for a normal variable."""
    nodes = np.linspace(mean - reach * sd, mean + reach * sd, n)
    return nodes, norm.logpdf(nodes, mean, sd) + np.log(nodes[1] - nodes[0])


def product_rule(*rules: tuple[Array, Array]) -> tuple[list[Array], Array]:
    """Nodes, one flat array per variable, and log weights of independent variables."""
    nodes = np.meshgrid(*(nodes for nodes, _ in rules), indexing="ij")
    weights = np.meshgrid(*(weights for _, weights in rules), indexing="ij")
    return [x.ravel() for x in nodes], np.sum(weights, axis=0).ravel()
