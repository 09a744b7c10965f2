"""Stochastic branches: a layer like any other, with noise in training and none in q."""

import math

import numpy as np
import pytest

from tests.helpers_amortized import DATA, build_model, disturbed, importorskip
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_partitions import all_partitions

torch = importorskip()

from pymc_dpsteps.amortized import AmortizedPosterior, RemaskingStep, Size  # noqa: E402
from pymc_dpsteps.amortized.allocation_training import allocation_loss  # noqa: E402
from pymc_dpsteps.amortized.branch_layer import BranchLayer, branch_metrics  # noqa: E402
from pymc_dpsteps.amortized.network import SetEncoder, perceptron  # noqa: E402
from pymc_dpsteps.amortized.paths import draw_allocations  # noqa: E402
from pymc_dpsteps.amortized.schedule import Schedule  # noqa: E402
from pymc_dpsteps.amortized.theta import Sampler, ThetaNetwork, draw_theta  # noqa: E402
from pymc_dpsteps.amortized.training import Stream, train  # noqa: E402
from pymc_dpsteps.amortized.walks import options_along  # noqa: E402

WIDTH, HIDDEN, BRANCHES, KEY = 16, 8, 3, 16
SIZE = Size(width=WIDTH, heads=2, layers=1, hidden=HIDDEN, branches=BRANCHES)


def layer(branches=BRANCHES, seed=0):
    torch.manual_seed(seed)
    return BranchLayer(WIDTH, branches, lambda: perceptron(WIDTH, HIDDEN, WIDTH))


def rows(*shape, seed=1):
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))


def made(size=SIZE):
    """A posterior whose router, noise and output are not those to begin with."""
    torch.manual_seed(0)
    posterior = disturbed(AmortizedPosterior(build_model, (2, 6), size=size))
    for module in posterior.network.modules():
        if isinstance(module, BranchLayer):
            torch.nn.init.normal_(module.router.weight)
            torch.nn.init.normal_(module.noise.weight)
    return posterior


@pytest.fixture(scope="module")
def posterior():
    return made()


def draw_along(posterior, order, labels):
    """Score partitions along one order, as `draw` does: all their options are given."""
    options = options_along(labels[:, order])
    paths = posterior.paths(DATA[: len(order)], len(labels))
    orders = np.repeat(order[None], len(labels), axis=0)
    return draw_allocations(paths, orders, torch.Generator().manual_seed(0), given=options)


@pytest.mark.parametrize("shape", [(), (5,), (2, 5), (2, 3, 5)])
def test_shapes(shape):
    x = rows(*shape)
    assert layer()(x).shape == x.shape
    assert layer().eval()(x).shape == x.shape


def test_formula():
    """The weights of the docstring, branch by branch."""
    mix, x = layer().eval(), rows(5)
    with torch.no_grad():
        for row, found in zip(x, mix(x), strict=True):
            said = [branch(row) for branch in mix.branches]
            router = torch.softmax(mix.router(row), 0)
            weight = torch.stack(
                [
                    r * torch.exp(mix.query(row) @ mix.key(f) / math.sqrt(KEY))
                    for r, f in zip(router, said, strict=True)
                ]
            )
            expected = sum(w * f for w, f in zip(weight / weight.sum(), said, strict=True))
            torch.testing.assert_close(found, expected)


def test_rows_do_not_see_each_other():
    mix, x = layer().eval(), rows(7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(mix(x[order]), mix(x)[order])
    torch.testing.assert_close(mix(x[:3]), mix(x)[:3])


def test_order_of_items_does_not_matter():
    torch.manual_seed(3)
    encoder = SetEncoder(
        3, 1, width=WIDTH, heads=2, layers=2, hidden=HIDDEN, branches=BRANCHES
    ).eval()
    items, context, pairs = torch.randn(2, 7, 3), torch.randn(2, 1), torch.randn(2, 7, 7)
    order = torch.randperm(7)
    result = encoder(items, context, pairs)
    other = encoder(items[:, order], context, pairs[:, order][:, :, order])
    torch.testing.assert_close(other[:, 1:], result[:, 1:][:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other[:, 0], result[:, 0], atol=1e-5, rtol=1e-5)


def test_number_of_parameters():
    """As many perceptrons, a router, its noise, queries and keys; nothing else in the network."""
    one = 2 * WIDTH * HIDDEN + HIDDEN + WIDTH
    more = 2 * (WIDTH + 1) * BRANCHES + (2 * WIDTH + 1) * KEY
    assert _count(layer()) == BRANCHES * one + more
    plain = AmortizedPosterior(
        build_model, (2, 6), size=Size(width=WIDTH, heads=2, layers=1, hidden=HIDDEN)
    )
    n_blocks = 3  # of encoder and head
    found = _count(made().network) - _count(plain.network)
    assert found == n_blocks * ((BRANCHES - 1) * one + more)


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_metrics_at_their_bounds():
    x, mix = rows(50), layer()
    torch.nn.init.zeros_(mix.router.weight)
    torch.nn.init.zeros_(mix.router.bias)
    for branch in mix.branches[1:]:
        branch.load_state_dict(mix.branches[0].state_dict())
    found = mix.metrics(x)  # a router that knows nothing, of branches that are the same
    assert found.entropy == pytest.approx(math.log(BRANCHES), abs=1e-5)
    assert found.usage_entropy == pytest.approx(math.log(BRANCHES), abs=1e-5)
    assert found.diversity == pytest.approx(0.0, abs=1e-5)
    assert found.noise_scale == pytest.approx(math.log(2.0))
    with torch.no_grad():
        mix.router.bias[0] = 100.0  # one that sends all rows to one branch
    found = mix.metrics(x)
    assert found.entropy == pytest.approx(0.0, abs=1e-5) == found.usage_entropy


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_entropy_is_between_its_bounds(scale):
    mix = layer()
    torch.nn.init.normal_(mix.router.weight, std=scale)
    found = mix.metrics(rows(200))
    assert 0.0 <= found.entropy <= found.usage_entropy <= math.log(BRANCHES) + 1e-6


def test_diversity_of_two_branches_is_their_cosine_distance():
    mix, x = layer(2), rows(30)
    first, second = (branch(x) for branch in mix.branches)
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=-1).mean().item()
    assert mix.metrics(x).diversity == pytest.approx(1.0 - cosine, abs=1e-5)


def test_metrics_of_a_network(posterior):
    batch = next(iter(Stream(posterior, Schedule(batch=8, places=4), 1)))
    with torch.no_grad():
        found = branch_metrics(posterior.network, lambda: allocation_loss(posterior.network, batch))
    assert set(found) == {
        f"{block}.perceptron" for block in ("encoder.blocks.0", "to_masked.0", "to_options.0")
    }
    for metrics in found.values():
        assert 0.0 <= metrics.entropy <= metrics.usage_entropy <= math.log(BRANCHES) + 1e-6
        assert 0.0 < metrics.diversity <= 2.0 and metrics.noise_scale > 0.0
    hooks = [module._forward_hooks for module in posterior.network.modules()]
    assert not any(hooks)


def test_metrics_of_a_network_without_branches():
    with pytest.raises(ValueError, match=r"Of 0 branch layers.*Size\(branches=4\)"):
        branch_metrics(perceptron(2, 2, 2), lambda: None)


def test_noise_is_that_of_the_router():
    """Logits in training are normal, of the learnt scale: seen at a layer of two branches."""
    mix, draws = layer(2), 20_000
    for branch, value in zip(mix.branches, (0.0, 1.0), strict=True):
        torch.nn.init.zeros_(branch[2].weight)
        torch.nn.init.constant_(branch[2].bias, value)
    torch.nn.init.zeros_(mix.query.weight)
    torch.nn.init.zeros_(mix.query.bias)
    torch.nn.init.normal_(mix.noise.weight)
    x = rows()
    torch.manual_seed(4)
    with torch.no_grad():
        log_odds = torch.logit(mix(x.expand(draws, -1))[:, 0].double()).numpy()
        first, second = mix.router(x).tolist()
        scale = torch.nn.functional.softplus(mix.noise(x)).norm().item()
    assert abs(log_odds.mean() - (second - first)) < STANDARD_ERRORS * scale / np.sqrt(draws)
    assert abs(log_odds.std() - scale) < STANDARD_ERRORS * scale / np.sqrt(2.0 * draws)


def test_gradient_reaches_the_noise(posterior):
    network = posterior.network.train()
    batch = next(iter(Stream(posterior, Schedule(batch=8, places=4), 1)))
    allocation_loss(network, batch).backward()
    layers = [module for module in network.modules() if isinstance(module, BranchLayer)]
    for mix in layers:
        for part in (mix.router, mix.noise, mix.query, mix.key, *mix.branches):
            for parameter in part.parameters():
                assert torch.isfinite(parameter.grad).all()
        for part in (mix.router, mix.noise, mix.query, mix.key, mix.branches[-1][0]):
            assert part.weight.grad.abs().max() > 0.0
    network.zero_grad()


def test_there_is_noise_in_training_only(posterior):
    """Drawing puts an end to the noise, whatever was done with the network before."""
    items = posterior.inputs(posterior.items_of(DATA)[None])
    with torch.no_grad():
        network = posterior.network.train()
        assert not torch.equal(network.encode(*items).rows, network.encode(*items).rows)
    first, second = (posterior.draw(DATA, 20, random_seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.log_q, second.log_q)
    assert not made().network.training


@pytest.mark.parametrize("n", [2, 3, 4])
def test_probabilities_of_all_partitions_sum_to_one(posterior, n):
    order = np.random.default_rng(n).permutation(n)
    scored = draw_along(posterior, order, all_partitions(n))
    assert np.exp(scored.log_q).sum() == pytest.approx(1.0, abs=1e-5)


def test_density_of_a_draw_is_that_when_it_is_scored(posterior):
    """Whatever noise was drawn meanwhile."""
    order, draws = np.random.default_rng(5).permutation(6), 200
    orders = np.repeat(order[None], draws, axis=0)
    posterior.network.train()
    drawn = draw_allocations(posterior.paths(DATA, draws), orders, torch.Generator().manual_seed(6))
    posterior.network.train()
    torch.manual_seed(7)
    scored = draw_along(posterior, order, drawn.labels)
    np.testing.assert_array_equal(scored.labels, drawn.labels)
    np.testing.assert_allclose(scored.log_q, drawn.log_q, atol=1e-5)
    np.testing.assert_allclose(scored.log_p, drawn.log_p)
    assert np.ptp(drawn.log_q) > 0.1


def test_remasking_scores_without_noise(posterior):
    posterior.network.train()
    with build_model(6):
        step = RemaskingStep(posterior)
    step.setup_chain(np.random.default_rng(0), 0, 1)
    step.step(step.model.initial_point())
    assert not posterior.network.training


def test_save_and_load(posterior, tmp_path):
    posterior.save(tmp_path / "network")
    loaded = AmortizedPosterior.load(tmp_path / "network", build_model)
    assert loaded.size == SIZE
    first, second = (p.draw(DATA, 20, random_seed=3) for p in (posterior, loaded))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.log_q, second.log_q)


def test_training_ends_the_noise():
    schedule = Schedule(batch=8, simulated=2, places=4, warmup=5)
    options = {"size": SIZE, "schedule": schedule, "accelerator": "cpu", "progressbar": False}
    trained = train(build_model, (3, 6), budget=0.5, random_seed=8, **options)
    assert trained.network.out[1].weight.abs().max() > 0.0  # it has changed
    assert not trained.network.training


def test_branches_of_the_diffusion_over_parameters():
    torch.manual_seed(0)
    denoiser = ThetaNetwork(2, 1, 2, width=WIDTH, heads=2, layers=2, branches=BRANCHES)
    layers = [module for module in denoiser.modules() if isinstance(module, BranchLayer)]
    assert len(layers) == 2 and layers[0].branches[0][0].out_features == 2 * WIDTH
    torch.nn.init.normal_(denoiser.out.weight)
    inputs = (torch.randn(1, 3, 2), torch.randn(1, 1), torch.randn(1, 3, 3))
    first, second = (
        draw_theta(denoiser.train(), inputs, 4, torch.Generator().manual_seed(1), Sampler(steps=3))
        for _ in range(2)
    )
    torch.testing.assert_close(first, second, atol=0.0, rtol=0.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"branches": 1}, "branches = 1; expected 2 or more, or 0"),
        ({"branches": -2}, "branches = -2; expected"),
        ({"hidden": 0}, "hidden = 0; expected"),
    ],
)
def test_bad_sizes(options, words):
    with pytest.raises(ValueError, match=words):
        SetEncoder(3, 1, width=WIDTH, heads=2, layers=1, **options)
