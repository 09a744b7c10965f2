"""The predictor of sets of components, and its losses."""

from itertools import permutations

import numpy as np
import pytest

from tests.helpers_amortized import importorskip
from tests.helpers_learners import K, dirichlet, losses, normal_both, normal_mean

torch = importorskip()

from pymc_dpsteps.amortized import ComponentPredictor, Schedule, Size  # noqa: E402
from pymc_dpsteps.amortized.branch_layer import BranchLayer  # noqa: E402
from pymc_dpsteps.amortized.component_predictor import (  # noqa: E402
    chamfer_loss,
    hungarian_loss,
)

SMALL = Size(width=16, heads=2, layers=1)
LOSSES = {"hungarian": hungarian_loss, "chamfer": chamfer_loss}


def arguments(seed=0):
    """Three data sets, 4 slots, at most 3 components of 2 parameters."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, generator=generator)
    rows, wanted = (torch.randn(3, m, 2, generator=generator) for m in (4, 3))
    there = torch.tensor([[True, True, True], [False, True, False], [True, False, True]])
    return logits, rows, wanted, there


@pytest.mark.parametrize("name", LOSSES)
def test_order_does_not_matter(name):
    logits, rows, wanted, there = arguments()
    loss = LOSSES[name](logits, rows, wanted, there)
    slots, components = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 2, 0])
    turned = LOSSES[name](
        logits[:, slots], rows[:, slots], wanted[:, components], there[:, components]
    )
    torch.testing.assert_close(turned, loss)


def test_hungarian_is_the_best_matching():
    """Against the definition, over all matchings."""
    logits, rows, wanted, there = arguments()
    found = hungarian_loss(logits, rows, wanted, there)
    p = logits.sigmoid().numpy()
    for b in range(3):
        components = wanted[b][there[b]].numpy()
        costs = []
        for slots in permutations(range(4), len(components)):
            rest = [j for j in range(4) if j not in slots]
            d = 0.5 * ((rows[b].numpy()[list(slots)] - components) ** 2).sum()
            costs.append(d - np.log(p[b, list(slots)]).sum() - np.log1p(-p[b, rest]).sum())
        assert found[b].item() == pytest.approx(min(costs), rel=1e-5)


def test_chamfer_by_its_definition():
    logits, rows, wanted, there = arguments(1)
    found = chamfer_loss(logits, rows, wanted, there)
    p = logits.sigmoid().numpy()
    for b in range(3):
        components = wanted[b][there[b]].numpy()
        d = 0.5 * ((rows[b].numpy()[:, None] - components) ** 2).sum(-1)
        taken = set(d.argmin(0))
        expected = d.min(0).sum() + p[b] @ d.min(1)
        expected -= sum(np.log(p[b, j] if j in taken else 1.0 - p[b, j]) for j in range(4))
        assert found[b].item() == pytest.approx(expected, rel=1e-5)
    # In the first data set components share a slot.
    assert len(set(torch.cdist(rows[0], wanted[0]).argmin(0).tolist())) < 3


def test_chamfer_lets_components_share_a_slot():
    """Two equal components: one slot costs chamfer nothing more, the matching needs a second."""
    logits = torch.tensor([[6.0, -6.0]])
    rows, wanted = torch.tensor([[[0.0], [5.0]]]), torch.zeros(1, 2, 1)
    there = torch.ones(1, 2, dtype=torch.bool)
    assert chamfer_loss(logits, rows, wanted, there).item() < 0.1
    assert hungarian_loss(logits, rows, wanted, there).item() > 12.0


@pytest.mark.parametrize("name", LOSSES)
def test_learns_and_predicts(name, tmp_path):
    torch.manual_seed(1)
    predictor = ComponentPredictor(normal_both, (3, 6), size=SMALL, matching=name)
    before, after = losses(predictor, Schedule(batch=16), 100)
    assert after.mean() < 0.8 * before.mean()
    y = np.random.default_rng(2).normal(size=(5, 2))
    found, turned = predictor.predict(y), predictor.predict(y[::-1])
    assert found.probability.shape == (K,) and (np.diff(found.probability) <= 0.0).all()
    assert found.theta["mu"].shape == (K, 2) and (found.theta["sigma"] > 0.0).all()
    np.testing.assert_allclose(turned.probability, found.probability, atol=1e-4)
    np.testing.assert_allclose(turned.theta["mu"], found.theta["mu"], atol=1e-3)
    predictor.save(tmp_path)
    loaded = ComponentPredictor.load(tmp_path, normal_both)
    assert loaded.matching == name
    np.testing.assert_array_equal(loaded.predict(y).probability, found.probability)


def test_bad_input():
    with pytest.raises(ValueError, match="matching must be one of"):
        ComponentPredictor(normal_both, (3, 6), matching="nearest")
    predictor = ComponentPredictor(dirichlet, (3, 6), size=SMALL)
    with pytest.raises(ValueError, match="not finite"):
        predictor.predict(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="y has entries that are no integers"):
        predictor.predict(np.full((3, 3), 3.5))


def test_size_reaches_the_blocks_of_the_slots():
    size = Size(width=16, heads=2, layers=1, head_layers=2, hidden=8, branches=2)
    network = ComponentPredictor(normal_mean, (3, 6), size=size).network
    layers = [x for x in network.modules() if isinstance(x, BranchLayer)]
    assert len(layers) == size.layers + 2 * size.head_layers
    assert {x.branches[0][0].out_features for x in layers} == {8}
