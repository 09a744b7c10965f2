"""Training, and what is kept of it."""

import numpy as np
import pytest

import pymc_dpsteps as dps
from tests.helpers_amortized import DATA, build_model, importorskip
from tests.helpers_chain import STANDARD_ERRORS
from tests.helpers_learners import losses

torch = importorskip()

from pymc_dpsteps.amortized import AmortizedPosterior, Schedule, Size, train  # noqa: E402
from pymc_dpsteps.amortized.training import Stream  # noqa: E402

SMALL = Size(width=16, heads=2, layers=1)
QUICK = Schedule(batch=16, simulated=2, places=4, warmup=5, averaging=0.5)


def spread_out(n):
    return build_model(n, spread=3.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "state.ckpt"
    options = {"size": SMALL, "schedule": QUICK, "progressbar": False, "accelerator": "cpu"}
    posterior = train(build_model, (3, 6), budget=0.5, checkpoint=path, random_seed=1, **options)
    return posterior, path, options


def test_learns_something():
    torch.manual_seed(0)
    learner = AmortizedPosterior(build_model, (3, 6), size=SMALL)
    before, after = losses(learner, QUICK, 400, rate=1e-2)
    assert np.abs(before).max() < 1e-4
    assert after.mean() < -STANDARD_ERRORS * after.std() / np.sqrt(len(after))


def test_untrained_gains_nothing():
    torch.manual_seed(0)
    posterior = AmortizedPosterior(build_model, (3, 6), size=SMALL)
    batch = next(iter(Stream(posterior, QUICK, 5)))
    loss = posterior.loss(posterior.network, batch)
    assert abs(loss.item()) < 1e-5
    loss.backward()
    gradient = posterior.network.out[1].weight.grad
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0.0


def test_weights_of_places_are_unbiased():
    """The weights of a batch sum to one a data set, on average."""
    torch.manual_seed(0)
    posterior = AmortizedPosterior(build_model, (6, 6), size=SMALL)
    stream = iter(Stream(posterior, QUICK, 6))
    totals = np.array([float(next(stream).weight.sum(1).mean()) for _ in range(150)])
    assert abs(totals.mean() - 6.0) < 5.0 * totals.std() / np.sqrt(len(totals))


def test_batches_depend_on_the_seed_alone(trained):
    posterior = trained[0]
    first, again, other = (next(iter(Stream(posterior, QUICK, seed))) for seed in (3, 3, 4))
    torch.testing.assert_close(first.inputs[0], again.inputs[0])
    torch.testing.assert_close(first.place, again.place)
    assert first.inputs[0].shape != other.inputs[0].shape or not torch.equal(
        first.inputs[0], other.inputs[0]
    )


def test_goes_on_from_a_checkpoint(trained):
    _, path, options = trained
    before = torch.load(path, weights_only=False)
    assert before["step"] > 0 and before["spent"] >= 0.5
    longer = before["spent"] + 0.5
    train(build_model, (3, 6), budget=longer, checkpoint=path, random_seed=2, **options)
    after = torch.load(path, weights_only=False)
    assert after["step"] > before["step"]
    with pytest.raises(ValueError, match="another model"):
        train(spread_out, (3, 6), budget=longer, checkpoint=path, **options)


def test_save_and_load(trained, tmp_path):
    posterior = trained[0]
    posterior.save(tmp_path / "network")
    loaded = AmortizedPosterior.load(tmp_path / "network", build_model)
    first, second = (p.draw(DATA, 20, random_seed=3) for p in (posterior, loaded))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.log_q, second.log_q)
    with pytest.raises(ValueError, match="trained for another model"):
        AmortizedPosterior.load(tmp_path / "network", spread_out)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:, :1], r"shape \(6, 1\); expected \(n, 2\)"),
        (DATA[0], r"shape \(2,\)"),
        (np.concatenate([DATA, DATA]), "12 observations.*3 to 6"),
        (DATA[:2], "2 observations.*3 to 6"),
        (np.where(DATA > 1.9, np.nan, DATA), "1 entries that are not finite"),
        ({"x": DATA}, "data of x; expected those of y"),
    ],
)
def test_bad_data(trained, data, words):
    with pytest.raises(ValueError, match=words):
        trained[0].draw(data, 10)


def test_bad_options():
    with pytest.raises(ValueError, match="device = 'tpu'"):
        AmortizedPosterior(build_model, (3, 6), device="tpu")
    with pytest.raises(ValueError, match=r"n = \(6, 3\)"):
        AmortizedPosterior(build_model, (6, 3))
    with pytest.raises(ValueError, match="positive time"):
        train(build_model, (3, 6), budget=0.0)


def test_public_names():
    assert set(dps.amortized.__all__) <= set(dir(dps.amortized)) | set(dps.amortized._MODULES)
    for _ in range(2):
        assert callable(dps.amortized.check_posterior)  # and not the module of that name
    with pytest.raises(AttributeError, match="has no attribute nothing"):
        _ = dps.amortized.nothing
