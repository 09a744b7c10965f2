"""Order and absence of items."""

import pytest

from tests.helpers_amortized import importorskip

torch = importorskip()

from pymc_dpsteps.amortized.network import SetEncoder  # noqa: E402


def inputs(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    items = torch.randn(2, n, 3, generator=generator)
    pairs = torch.randn(2, n, n, generator=generator)
    return items, torch.randn(2, 1, generator=generator), pairs + pairs.mT


@pytest.fixture(params=[0, 4], ids=["all pairs", "induced points"])
def encoder(request):
    torch.manual_seed(1)
    return SetEncoder(3, 1, width=16, heads=4, layers=2, induced=request.param).eval()


def test_shapes(encoder):
    assert encoder(*inputs(7)).shape == (2, 8, 16)


def test_order_of_items_does_not_matter(encoder):
    items, context, pairs = inputs(7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    result = encoder(items, context, pairs)
    other = encoder(items[:, order], context, pairs[:, order][:, :, order])
    torch.testing.assert_close(other[:, 1:], result[:, 1:][:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other[:, 0], result[:, 0], atol=1e-5, rtol=1e-5)


def test_absent_items_do_not_matter(encoder):
    items, context, pairs = inputs(7)
    keep = torch.arange(7) < torch.tensor([[5], [7]])
    result = encoder(items, context, pairs, keep)
    alone = encoder(items[:1, :5], context[:1], pairs[:1, :5, :5])
    torch.testing.assert_close(result[:1, :6], alone, atol=1e-5, rtol=1e-5)
    changed = items.clone()
    changed[0, 5:] += 10.0
    torch.testing.assert_close(encoder(changed, context, pairs, keep)[:, :6], result[:, :6])
