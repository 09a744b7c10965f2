"""The Chinese restaurant process against enumeration and its sequential rule."""

import warnings
from collections.abc import Iterator
from itertools import permutations, product

import cloudpickle
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.logprob.utils import ParameterValueError
from pytensor.compile.mode import Mode
from scipy.stats import chi2, norm

from pymc_dpsteps.distributions import ChineseRestaurantProcess, ChineseRestaurantProcessRV

FIVE_STANDARD_ERRORS = 2 * norm.sf(5)

# (alpha, discount): the last two make P(k+ <= K) tiny for K < N.
PARAMETERS = [(1.0, 0.0), (0.3, 0.0), (0.7, 0.4), (2.5, 0.9), (40.0, 0.0), (1e8, 0.25)]


def sequential_probability(labels, alpha: float, discount: float, K: int) -> float:
    """Product of the predictive probabilities, item by item."""
    probability = 1.0
    for i, label in enumerate(labels):
        before = list(labels[:i])
        occupied = len(set(before))
        size = before.count(label)
        if size:
            probability *= (size - discount) / (alpha + i)
        else:
            opens = (alpha + discount * occupied) / (alpha + i) if i else 1.0
            probability *= opens / (K - occupied)
    return probability


def partitions(N: int, head: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """All partitions of N items as restricted growth strings."""
    if len(head) == N:
        yield head
        return
    for label in range(max(head, default=-1) + 2):
        yield from partitions(N, (*head, label))


def probability_of_fitting(alpha: float, discount: float, K: int, N: int) -> float:
    """P(k+ <= K) of the infinite process: a sum over partitions, slots left out."""
    total = 0.0
    for partition in partitions(N):
        if max(partition) >= K:
            continue
        probability = 1.0
        for i, label in enumerate(partition[1:], start=1):
            before = partition[:i]
            if label in before:
                probability *= (before.count(label) - discount) / (alpha + i)
            else:
                probability *= (alpha + discount * len(set(before))) / (alpha + i)
        total += probability
    return total


def symbolic_process(n_vectors=None):
    """A process whose parameters are all inputs, so that one compilation serves many tests."""
    alpha, discount = pt.scalars("alpha", "discount")
    K, N = pt.lscalars("K", "N")
    size = None if n_vectors is None else (n_vectors,)
    _, z = ChineseRestaurantProcessRV()(
        alpha,
        discount,
        K,
        N,
        size=size,
        rng=pytensor.shared(np.random.default_rng(1)),
        return_next_rng=True,
    )
    return z, [alpha, discount, K, N]


@pytest.fixture(scope="module")
def density_and_gradient():
    """Log density of each row of a matrix of labels, and the sum of their gradients."""
    labels = pt.lmatrix("labels")
    z, parameters = symbolic_process(labels.shape[0])
    values = pm.logp(z, labels)
    gradient = pt.grad(values.sum(), parameters[:2])
    compiled = pytensor.function([labels, *parameters], [values, *gradient])

    def evaluate(labels, alpha, discount, K):
        labels = np.ascontiguousarray(np.atleast_2d(labels))  # Numba compiles for each layout
        values, *gradient = compiled(labels, alpha, discount, K, labels.shape[1])
        return values, np.array(gradient)

    return evaluate


@pytest.fixture(scope="module")
def logp(density_and_gradient):
    return lambda *arguments: density_and_gradient(*arguments)[0]


def all_labels(K: int, N: int) -> np.ndarray:
    return np.array(list(product(range(K), repeat=N)))


@pytest.mark.parametrize("alpha, discount", PARAMETERS)
@pytest.mark.parametrize("K, N", [(1, 1), (4, 4), (6, 4), (1, 5), (2, 5), (3, 6)])
def test_density_is_that_of_the_sequential_rule_and_sums_to_the_right_total(
    logp, K, N, alpha, discount
):
    labels = all_labels(K, N)
    density = np.exp(logp(labels, alpha, discount, K))
    expected = [sequential_probability(row, alpha, discount, K) for row in labels]
    np.testing.assert_allclose(density, expected, rtol=1e-6)
    total = probability_of_fitting(alpha, discount, K, N)
    np.testing.assert_allclose(density.sum(), total, rtol=1e-6)
    if K >= N:
        np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    else:
        assert total < 1.0


def test_density_does_not_depend_on_the_order_of_items_or_the_names_of_slots(logp):
    z = np.array([0, 0, 0, 1, 1, 3])
    reordered = np.array(sorted(set(permutations(z))))
    renamed = np.array(list(permutations(range(4))))[:, z]
    for labels in (reordered, renamed):
        values = logp(labels, 0.7, 0.4, 4)
        assert np.ptp(values) < 1e-12


@pytest.mark.parametrize("K", [127, 128, 300])
def test_many_slots_and_items(K):
    labels = np.random.default_rng(K).integers(0, 5, size=400) * (K // 5)
    alpha, discount = 1.3, 0.2
    sizes = np.bincount(labels)
    opened = alpha + discount * np.arange(1, 5)
    slots = np.arange(K, K - 5, -1)
    expected = np.log(opened).sum() - np.log(alpha + np.arange(1, 400)).sum() - np.log(slots).sum()
    for size in sizes[sizes > 0]:
        expected += np.log(np.arange(1, size) - discount).sum()
    rv = ChineseRestaurantProcess.dist(alpha, discount, K=K, shape=400)
    np.testing.assert_allclose(pm.logp(rv, labels).eval(mode="FAST_COMPILE"), expected, rtol=1e-12)


def test_values_outside_the_slots_have_no_density(logp):
    labels = [[0, 1, 2, 3], [-1, 0, 0, 0], [0, 0, 0, 10**9], [2, 2, 0, 1]]
    np.testing.assert_array_equal(np.isneginf(logp(labels, 1.0, 0.0, 3)), [True] * 3 + [False])


def test_a_value_of_the_wrong_length_is_refused():
    rv = ChineseRestaurantProcess.dist(1.0, K=3, shape=4)
    value = pt.lvector("value")
    with pytest.raises(AssertionError, match="SpecifyShape"):
        pm.logp(rv, value).eval({value: np.zeros(8, dtype=int)}, mode="FAST_COMPILE")


@pytest.mark.parametrize(
    "alpha, discount", [(-1.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, 1.0), (1.0, -0.1)]
)
def test_invalid_random_parameters_are_refused(logp, draw_many, alpha, discount):
    interval = "0 < alpha < inf and 0 <= discount < 1"
    with pytest.raises(ParameterValueError, match=interval):
        logp(np.zeros(4, dtype=int), alpha, discount, 3)
    with pytest.raises(ValueError, match=interval):
        draw_many(alpha, discount, 3, 4, 1)
    with pytest.raises(ValueError, match=interval):
        rng = np.random.default_rng(1)
        parameters = (np.array(value) for value in (alpha, discount, 3, 4))
        ChineseRestaurantProcessRV.rng_fn(rng, *parameters, None)


@pytest.mark.parametrize("labels", [[0] * 6, [0, 0, 1, 3, 3, 3], [5, 4, 3, 2, 1, 0]])
@pytest.mark.parametrize("alpha, discount", [(0.8, 0.0), (2.0, 0.3), (0.1, 0.95)])
def test_gradients_agree_with_finite_differences(density_and_gradient, labels, alpha, discount):
    def exact(alpha, discount):
        return np.log(sequential_probability(labels, alpha, discount, 6))

    h = 1e-5
    # The formula itself continues smoothly below discount = 0, so differences may be central.
    expected = [
        (exact(alpha + h, discount) - exact(alpha - h, discount)) / (2 * h),
        (exact(alpha, discount + h) - exact(alpha, discount - h)) / (2 * h),
    ]
    _, found = density_and_gradient(labels, alpha, discount, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def draw_many():
    """Draws through PyTensor's Numba backend, as a matrix of labels."""
    n_vectors = pt.lscalar("n_vectors")
    z, parameters = symbolic_process(n_vectors)
    return pm.compile([*parameters, n_vectors], z, random_seed=20, mode="NUMBA")


@pytest.mark.parametrize("alpha, discount", PARAMETERS)
@pytest.mark.parametrize("K, N", [(4, 4), (5, 4), (1, 4), (2, 6), (3, 5), (4, 5)])
def test_draws_follow_the_law_given_that_the_slots_suffice(draw_many, K, N, alpha, discount):
    draws = 50_000
    labels = all_labels(K, N)
    law = np.array([sequential_probability(row, alpha, discount, K) for row in labels])
    law /= law.sum()
    found = draw_many(alpha, discount, K, N, draws)
    assert found.min() >= 0 and found.max() < K
    counts = np.bincount(found @ K ** np.arange(N)[::-1], minlength=K**N)
    expected = draws * law
    # Label vectors expected fewer than ten times are counted together.
    common = expected >= 10
    rare = expected[~common].sum()
    statistic = np.sum((counts[common] - expected[common]) ** 2 / expected[common])
    cells = common.sum()
    if rare >= 10:
        statistic += (counts[~common].sum() - rare) ** 2 / rare
        cells += 1
    else:  # a Poisson tail: more than this has a probability below that of 5 standard errors
        assert counts[~common].sum() <= rare + 5 * np.sqrt(rare) + 15
    if cells > 1:
        assert chi2.sf(statistic, cells - 1) > FIVE_STANDARD_ERRORS


@pytest.mark.parametrize("K", [300, 25])
@pytest.mark.parametrize("alpha, discount", [(2.0, 0.0), (1.0, 0.3)])
def test_number_of_clusters(draw_many, alpha, discount, K):
    draws, N = 4_000, 300
    found = draw_many(alpha, discount, K, N, draws)
    occupied = np.array([len(np.unique(row)) for row in found])
    law = np.zeros(N + 2)
    law[1] = 1.0
    for i in range(1, N):  # forward recursion for P(k+ = k) after i + 1 items
        k = np.arange(N + 2)
        opens = (alpha + discount * k) / (alpha + i)
        law = law * (1 - opens) + np.roll(law * opens, 1)
    if K >= N and discount == 0.0:
        exact = np.sum(alpha / (alpha + np.arange(N)))
        np.testing.assert_allclose(law @ np.arange(N + 2), exact, rtol=1e-10)
    law = law[: K + 1] / law[: K + 1].sum()
    mean = law @ np.arange(len(law))
    variance = law @ (np.arange(len(law)) - mean) ** 2
    assert abs(occupied.mean() - mean) < 5 * np.sqrt(variance / draws)


def test_draws_when_the_slots_almost_never_suffice(draw_many):
    # P(k+ <= 3) underflows. Given it, nearly all draws fill the three slots.
    labels = draw_many(1e5, 0.5, 3, 5_000, 1)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_seeds_and_backends_agree():
    rv = ChineseRestaurantProcess.dist([0.5, 3.0], 0.2, K=4, shape=(2, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # falling back to object mode warns
        one = pm.draw(rv, draws=3, random_seed=1, mode="NUMBA")
    python = Mode(linker="py", optimizer=None)
    assert one.shape == (3, 2, 20) and one.dtype == np.int64
    np.testing.assert_array_equal(one, pm.draw(rv, draws=3, random_seed=1, mode="NUMBA"))
    np.testing.assert_array_equal(one, pm.draw(rv, draws=3, random_seed=1, mode=python))
    assert np.any(one != pm.draw(rv, draws=3, random_seed=2, mode="NUMBA"))
    assert np.any(one[0] != one[1])


@pytest.mark.parametrize("K", [0, -1, 2.0, 2.5, "3", None, True, np.array([3, 4])])
def test_slots_that_are_not_a_whole_number_are_refused(K):
    with pytest.raises(ValueError, match=r"K = .*Give an integer"):
        ChineseRestaurantProcess.dist(1.0, K=K, shape=5)


@pytest.mark.parametrize("alpha", [0, -1.0, np.nan, np.inf, [1.0, -2.0]])
def test_invalid_constant_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha = .*0 < alpha"):
        ChineseRestaurantProcess.dist(alpha, K=3, shape=(2, 5))


@pytest.mark.parametrize("discount", [1, -0.1, np.nan, 3.0])
def test_invalid_constant_discount_is_refused(discount):
    with pytest.raises(ValueError, match=r"discount = .*0 <= discount < 1"):
        ChineseRestaurantProcess.dist(1.0, discount, K=3, shape=5)


def test_an_unknown_or_empty_length_is_refused():
    for lengths in ({}, {"shape": ()}, {"shape": 5, "size": 5}):
        with pytest.raises(ValueError, match="number of items N is not known"):
            ChineseRestaurantProcess.dist(1.0, K=3, **lengths)
    with pm.Model(), pytest.raises(ValueError, match="number of items N is not known"):
        ChineseRestaurantProcess("z", 1.0, K=3)
    with pytest.raises(ValueError, match=r"shape\[-1\] = 0"):
        ChineseRestaurantProcess.dist(1.0, K=3, shape=0)


def test_size_gives_the_length_too():
    assert ChineseRestaurantProcess.dist(1.0, K=np.int64(3), size=5).type.shape == (5,)


@pytest.fixture(scope="module")
def model() -> pm.Model:
    with pm.Model(coords={"obs": range(12)}) as model:
        alpha = pm.Gamma("alpha", 2, 4)
        discount = pm.Beta("discount", 1, 3)
        ChineseRestaurantProcess("z", alpha, discount, K=5, dims="obs")
    return model


def test_parameters_in_a_model(model):
    z = model["z"]
    op = z.owner.op
    assert isinstance(op, ChineseRestaurantProcessRV)
    alpha, discount, K, N = op.dist_params(z.owner)
    assert alpha is model["alpha"] and discount is model["discount"]
    assert (K.eval(), N.eval()) == (5, 12)
    assert "ChineseRestaurantProcess(alpha, discount" in model.str_repr()


def test_density_and_gradient_in_a_model(model):
    point = model.initial_point()
    np.testing.assert_array_equal(point["z"], np.zeros(12))
    assert np.issubdtype(point["z"].dtype, np.integer)
    labels = np.arange(12) % 4
    function = model.logp_dlogp_function([model["alpha"], model["discount"]], ravel_inputs=True)
    function.set_extra_values({"z": labels})
    here = np.array([point["alpha_log__"], point["discount_logodds__"]])
    _, gradient = function(here)
    steps = 1e-5 * np.eye(2)
    expected = [(function(here + h)[0] - function(here - h)[0]) / 2e-5 for h in steps]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    function.set_extra_values({"z": labels + 2})
    assert function(here)[0] == -np.inf


def test_prior_predictive(model):
    with model, warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*object mode")
        prior = pm.sample_prior_predictive(50, random_seed=1).prior
    assert prior["z"].dims == ("chain", "draw", "obs")
    assert prior["z"].min() >= 0 and prior["z"].max() < 5


def test_a_model_survives_cloudpickle(model):
    copy = cloudpickle.loads(cloudpickle.dumps(model))
    point = model.initial_point()
    copied, original = (m.compile_logp(mode="FAST_COMPILE")(point) for m in (copy, model))
    np.testing.assert_allclose(copied, original)


def test_observed_labels_give_the_length():
    with pm.Model() as model:
        alpha = pm.Gamma("alpha", 2, 4)
        ChineseRestaurantProcess("z", alpha, K=4, observed=np.array([0, 0, 1, 2]))
    point = model.initial_point()
    expected = np.log(sequential_probability([0, 0, 1, 2], np.exp(point["alpha_log__"]), 0, 4))
    found = model.compile_logp(vars=model.observed_RVs, mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(found, expected)


def test_a_batch_of_concentrations():
    alpha = np.array([0.5, 2.0])
    rv = ChineseRestaurantProcess.dist(alpha, K=3, shape=(2, 4))
    labels = np.array([[0, 0, 1, 2], [2, 2, 2, 2]])
    expected = [
        np.log(sequential_probability(row, a, 0.0, 3)) for row, a in zip(labels, alpha, strict=True)
    ]
    np.testing.assert_allclose(pm.logp(rv, labels).eval(mode="FAST_COMPILE"), expected)


def test_a_length_that_changes_with_the_data():
    with pm.Model(coords={"obs": range(6)}) as model:
        x = pm.Data("x", np.zeros(6), dims="obs")
        alpha = pm.Gamma("alpha", 2, 4)
        ChineseRestaurantProcess("z", alpha, K=4, shape=x.shape)
        model.set_data("x", np.zeros(9), coords={"obs": range(9)})
    assert model.initial_point()["z"].shape == (9,)
    assert np.isfinite(model.compile_logp(mode="FAST_COMPILE")(model.initial_point()))
