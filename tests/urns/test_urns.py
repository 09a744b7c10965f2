"""The predictive rules, probabilities, weights and slot choices of every urn."""

from dataclasses import dataclass
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import pymc as pm
import pytest
from scipy.special import gammaln, roots_jacobi
from scipy.stats import beta, binom

from pymc_dpsteps.distributions import ChineseRestaurantProcess
from pymc_dpsteps.mixture.structure import PriorKind
from pymc_dpsteps.urns import crp, dirichlet, stick_breaking, urn_for
from tests.helpers_chain import FIVE_SIGMA, STANDARD_ERRORS
from tests.helpers_exact import all_labels

K = 4
ALPHA, DISCOUNT = 1.3, 0.4
A = np.array([0.3, 1.0, 2.5, 0.7])


@dataclass(frozen=True)
class Case:
    """An urn module and a parameter matrix."""

    module: Any
    parameters: np.ndarray

    @property
    def exchangeable(self) -> bool:
        return self.module is crp

    def log_prob(self, counts):
        counts = np.asarray(counts, dtype=np.int64)
        return self.module.log_prob(counts, int((counts > 0).sum()), self.parameters)

    def predictive(self, counts):
        """Weights of the occupied slots, and of a new cluster."""
        counts = np.asarray(counts, dtype=np.int64)
        active = active_slots(counts)
        weights = np.full(len(counts), np.nan)
        n_active = int((counts > 0).sum())
        new = self.module.predictive(counts, active, n_active, self.parameters, weights)
        return weights, new

    def choose_slot(self, u, counts, weights):
        n_active = int((counts > 0).sum())
        return self.module.choose_slot(u, counts, n_active, self.parameters, weights)


def active_slots(counts):
    """Occupied slots in an order that is not sorted, the rest of the array unused."""
    active = np.full(len(counts), -1, dtype=np.int64)
    occupied = np.flatnonzero(counts)[::-1]
    active[: len(occupied)] = occupied
    return active


def sticks(a, b):
    return Case(stick_breaking, np.column_stack([np.broadcast_to(a, K - 1), b]).astype(float))


CASES = {
    "crp": Case(crp, np.array([[ALPHA, 0.0]])),
    "crp-discount": Case(crp, np.array([[ALPHA, DISCOUNT]])),
    "dirichlet": Case(dirichlet, np.column_stack([A, np.zeros(K)])),
    "sticks": sticks(1.0, np.full(K - 1, ALPHA)),
    "pitman-yor-sticks": sticks(1.0 - DISCOUNT, ALPHA + DISCOUNT * np.arange(1, K)),
}
COUNTS = [
    np.array(counts, dtype=np.int64)
    for counts in [
        (3, 0, 1, 0),
        (0, 2, 0, 0),
        (0, 0, 0, 5),
        (1, 1, 1, 0),
        (2, 1, 4, 1),
        (0, 6, 0, 2),
        (0, 0, 0, 0),
    ]
]
every_urn = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_urn
@pytest.mark.parametrize("n_items", [1, 2, 4])
def test_probabilities_of_all_label_vectors_sum_to_one(case, n_items):
    labels = all_labels(n_items, K)
    total = sum(np.exp(case.log_prob(np.bincount(z, minlength=K))) for z in labels)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


@every_urn
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_predictive_weights_are_ratios_of_probabilities(case, counts):
    """p(z_{n+1} = k | z) from log_prob of the counts, slot by slot, empty slots included."""
    more = np.exp([case.log_prob(counts + np.eye(K, dtype=np.int64)[k]) for k in range(K)])
    expected = more / more.sum()
    weights, new = case.predictive(counts)
    occupied = counts > 0
    found = np.where(occupied, weights, 0.0)
    if not occupied.all():
        slots = ~occupied
        share = slots / slots.sum() if case.exchangeable else np.where(slots, weights, 0.0)
        found = found + new * share / share.sum()
    np.testing.assert_allclose(found / found.sum(), expected, rtol=1e-12)
    assert new == 0.0 or not occupied.all()
    assert new > 0.0 or occupied.all()


@every_urn
def test_probability_is_that_of_the_predictive_rule_applied_in_any_order(case):
    z = np.array([2, 0, 2, 1, 0, 2])
    expected = case.log_prob(np.bincount(z, minlength=K))
    for order in list(permutations(range(len(z))))[::97]:
        counts, total = np.zeros(K, dtype=np.int64), 0.0
        for label in z[list(order)]:
            weights, new = case.predictive(counts)
            mass = weights[counts > 0].sum() + new
            empty = counts == 0
            if counts[label] > 0:
                weight = weights[label]
            elif case.exchangeable:
                weight = new / empty.sum()
            else:
                weight = new * weights[label] / weights[empty].sum()
            total += np.log(weight / mass)
            counts[label] += 1
        np.testing.assert_allclose(total, expected, rtol=1e-12)


@every_urn
@pytest.mark.parametrize("counts", COUNTS[:-1], ids=str)
def test_swap_is_the_difference_of_probabilities(case, counts):
    for j, l in combinations(range(K), 2):
        swapped = counts.copy()
        swapped[[j, l]] = swapped[[l, j]]
        expected = case.log_prob(swapped) - case.log_prob(counts)
        found = case.module.log_swap(counts, j, l, case.parameters)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@every_urn
@pytest.mark.parametrize("counts", [c for c in COUNTS if not (c > 0).all()], ids=str)
def test_a_new_cluster_takes_an_empty_slot_by_its_weight(case, counts):
    weights, _ = case.predictive(counts)
    empty = counts == 0
    expected = np.where(empty, 1.0 if case.exchangeable else weights, 0.0)
    expected /= expected.sum()
    n = 4_000
    u = (np.arange(n) + 0.5) / n  # every slot gets its share of the unit interval
    chosen = np.bincount([case.choose_slot(x, counts, weights) for x in u], minlength=K)
    np.testing.assert_allclose(chosen / n, expected, atol=1.0 / n)
    for x in (0.0, np.nextafter(1.0, 0.0)):
        assert counts[case.choose_slot(x, counts, weights)] == 0


def test_frequencies_of_chosen_slots_with_random_numbers():
    counts, n = COUNTS[0], 10_000
    u = np.random.default_rng(1).random(n)
    for case in CASES.values():
        weights, _ = case.predictive(counts)
        chosen = sum(case.choose_slot(x, counts, weights) == 1 for x in u)
        p = 0.5 if case.exchangeable else weights[1] / (weights[1] + weights[3])
        assert FIVE_SIGMA / 2 < binom.cdf(chosen, n, p) < 1.0 - FIVE_SIGMA / 2


# Weights -----------------------------------------------------------------------------------------


def draw_weights(case, counts, n, seed=2):
    rng = np.random.default_rng(seed)
    weights, sticks = np.full((n, K), np.nan), np.full((n, K - 1), np.nan)
    for w, v in zip(weights, sticks, strict=True):
        case.module.draw_weights(rng, counts, case.parameters, w, v)
    return weights, sticks


def assert_moments(x, mean, variance):
    n = len(x)
    assert np.all(np.abs(x.mean(axis=0) - mean) < STANDARD_ERRORS * np.sqrt(variance / n))
    squares = (x - mean) ** 2
    error = squares.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(squares.mean(axis=0) - variance) < STANDARD_ERRORS * error)


@pytest.mark.parametrize("counts", [COUNTS[0], COUNTS[4], COUNTS[6]], ids=str)
def test_dirichlet_weights(counts):
    weights, _ = draw_weights(CASES["dirichlet"], counts, 20_000)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    posterior = A + counts
    mass = posterior.sum()
    mean = posterior / mass
    assert_moments(weights, mean, mean * (1.0 - mean) / (mass + 1.0))
    products = weights[:, 0] * weights[:, 2]
    expected = posterior[0] * posterior[2] / (mass * (mass + 1.0))
    assert abs(products.mean() - expected) < 5.0 * products.std() / np.sqrt(len(products))


@pytest.mark.parametrize("name", ["sticks", "pitman-yor-sticks"])
@pytest.mark.parametrize("counts", [COUNTS[0], COUNTS[4], COUNTS[6]], ids=str)
def test_stick_breaking_weights(name, counts):
    case = CASES[name]
    weights, v = draw_weights(case, counts, 20_000)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    left = np.cumprod(np.column_stack([np.ones(len(v)), 1.0 - v]), axis=1)
    broken = np.column_stack([v, np.ones(len(v))]) * left
    np.testing.assert_allclose(weights, broken, rtol=1e-6, atol=1e-15)
    after = counts.sum() - np.cumsum(counts)
    a, b = case.parameters.T + np.stack([counts, after])[:, :-1]
    assert_moments(v, a / (a + b), beta.var(a, b))
    correlation = np.corrcoef(v, rowvar=False)[np.triu_indices(K - 1, 1)]
    assert np.all(np.abs(correlation) < 5.0 / np.sqrt(len(v)))
    mean, square = (
        np.append(own, 1.0) * np.cumprod(np.append(1.0, rest))
        for own, rest in [
            (a / (a + b), b / (a + b)),
            (beta.moment(2, a, b), beta.moment(2, b, a)),
        ]
    )
    np.testing.assert_allclose(case.predictive(counts)[0], mean, rtol=1e-12)
    assert_moments(weights, mean, square - mean**2)


def test_the_process_has_no_weights():
    weights, _ = draw_weights(CASES["crp"], COUNTS[0], 3)
    assert np.isnan(weights).all()


@pytest.mark.parametrize("name", ["dirichlet", "sticks", "pitman-yor-sticks"])
def test_tiny_shapes_do_not_underflow_to_nan(name):
    case = CASES[name]
    tiny = Case(case.module, case.parameters * 1e-4)
    weights, _ = draw_weights(tiny, COUNTS[6], 2_000)
    assert np.all(np.isfinite(weights)) and np.all(weights >= 0.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-9)


# Against PyMC and quadrature ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crp", "crp-discount"])
@pytest.mark.parametrize("n_slots", [3, 4, 9])
def test_the_process_is_that_of_the_distribution(name, n_slots):
    case = CASES[name]
    labels = np.array([z for z in all_labels(5, 3)][::5])
    alpha, discount = case.parameters[0]
    rv = ChineseRestaurantProcess.dist(alpha, discount, K=n_slots, shape=(len(labels), 5))
    expected = pm.logp(rv, labels).eval(mode="FAST_COMPILE")
    found = [case.log_prob(np.bincount(z, minlength=n_slots)) for z in labels]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["sticks", "pitman-yor-sticks"])
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_stick_probability_is_the_expected_product_of_weights(name, counts):
    """Gauss-Jacobi quadrature over the three sticks, exact for these polynomials."""
    case = CASES[name]
    rules = []
    for a, b in case.parameters:
        nodes, mass = roots_jacobi(20, b - 1.0, a - 1.0)
        rules.append(list(zip(0.5 * (nodes + 1.0), mass / mass.sum(), strict=True)))
    total = 0.0
    for first, second, third in product(*rules):
        v = np.array([first[0], second[0], third[0], 1.0])
        w = v * np.concatenate([[1.0], np.cumprod(1.0 - v[:-1])])
        total += first[1] * second[1] * third[1] * np.prod(w**counts)
    np.testing.assert_allclose(case.log_prob(counts), np.log(total), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_dirichlet_probability_is_the_expected_product_of_weights(counts):
    """E[Π w^n] is a ratio of normalising constants of Dirichlet densities."""

    def log_constant(a):
        return gammaln(a).sum() - gammaln(a.sum())

    expected = log_constant(A + counts) - log_constant(A)
    np.testing.assert_allclose(CASES["dirichlet"].log_prob(counts), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        (crp, [[0.0, 0.0]]),
        (crp, [[np.nan, 0.0]]),
        (crp, [[1.0, 1.0]]),
        (crp, [[1.0, -0.1]]),
        (dirichlet, [[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]),
        (stick_breaking, [[1.0, 1.0], [1.0, np.nan], [1.0, 1.0]]),
        (stick_breaking, [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]),
    ],
)
def test_parameters_outside_their_range_have_probability_zero(module, parameters):
    assert Case(module, np.array(parameters)).log_prob(COUNTS[4]) == -np.inf


def test_a_process_with_all_slots_occupied_opens_no_cluster():
    weights, new = CASES["crp-discount"].predictive(COUNTS[4])
    assert new == 0.0
    np.testing.assert_allclose(weights, COUNTS[4] - DISCOUNT)


def test_one_slot():
    one = np.array([3], dtype=np.int64)
    for module, parameters in [
        (dirichlet, np.array([[0.7, 0.0]])),
        (stick_breaking, np.zeros((0, 2))),
        (crp, np.array([[1.0, 0.2]])),
    ]:
        case = Case(module, parameters)
        if module is not crp:
            np.testing.assert_allclose(case.log_prob(one), 0.0, atol=1e-12)
        _, new = case.predictive(one)
        assert new == 0.0
        weights, new = case.predictive(np.zeros(1, dtype=np.int64))
        assert new > 0.0
        assert case.choose_slot(0.5, np.zeros(1, dtype=np.int64), weights) == 0


@pytest.mark.parametrize("kind", [PriorKind.CRP, PriorKind.STICKS, PriorKind.DIRICHLET])
def test_urns_are_compiled_once(kind):
    urn = urn_for(kind)
    assert urn is urn_for(kind)
    assert urn.exchangeable == (kind is PriorKind.CRP)
    assert urn.addresses.shape == (6,) and len(set(urn.addresses)) == 6
    assert urn.addresses[-1] == (kind is PriorKind.CRP)
