import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_dpsteps as dps

N, DRAWS = 6, (2, 10)


def model_of(prior: str, K: int, alpha: float | None = None) -> pm.Model:
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 3, shape=K)
        concentration = pm.Gamma("alpha", 2, 4) if alpha is None else alpha
        match prior:
            case "crp":
                z = dps.ChineseRestaurantProcess("z", concentration, K=K, shape=N)
            case "sticks":
                w = pm.StickBreakingWeights("w", concentration, K=K - 1)
                z = pm.Categorical("z", w, shape=N)
            case "pitman-yor" | "uneven" | "growing":
                first = {"pitman-yor": 0.8, "uneven": 2.0, "growing": 1.0}[prior]
                more = 0.0 if prior == "uneven" else 0.2 * np.arange(1, K)
                v = pm.Beta("v", first, concentration + more, shape=K - 1)
                rest = pm.math.concatenate([[1.0], pm.math.cumprod(1 - v)])
                z = pm.Categorical("z", pm.math.concatenate([v, [1.0]]) * rest, shape=N)
            case "dirichlet":
                z = pm.Categorical("z", pm.Dirichlet("w", np.ones(K)), shape=N)
            case _:
                eta = pm.Normal("eta", shape=K)
                z = pm.Categorical("z", pm.math.softmax(eta), shape=N)
        pm.Normal("y", mu[z], 1.0, observed=np.arange(N))
    return model


def posterior(**draws: np.ndarray | list[float]) -> xr.DataTree:
    """Every draw is the same, but for draws that are given in full."""
    data = {}
    for name, value in draws.items():
        x = np.asarray(value)
        x = x if x.shape[:2] == DRAWS else np.broadcast_to(x, (*DRAWS, *x.shape))
        data[name] = (("chain", "draw", *(f"{name}_{d}" for d in range(x.ndim - 2))), x)
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


def test_a_process_whose_slots_were_full():
    z = np.broadcast_to([0, 0, 1, 1, 2, 2], (*DRAWS, N)).copy()
    z[0, :3, 0] = 3
    found = dps.check_truncation(posterior(z=z), model=model_of("crp", 4))
    row = found.table.loc["z"]
    assert (row["K"], row["n_items"], row["most_clusters"]) == (4, N, 4)
    assert row["slots_full"] == 3 / 20 and not row["suffices"]
    assert np.isnan(
        row[["last_slot", "last_weight_mean", "last_weight_max", "bound"]].tolist()
    ).all()
    assert "all K=4 slots were occupied in 15.0% of the draws;" in found.messages[0]
    assert "Use K=6." in repr(found) and "most_clusters" in repr(found)


def test_a_process_whose_slots_suffice():
    tree = posterior(z=[0, 0, 1, 1, 2, 2])
    found = dps.check_truncation(tree, model=model_of("crp", 4))
    assert found.table.loc["z", "suffices"]
    assert found.messages == ("z: at most 3 of K=4 slots were occupied. K=4 suffices.",)
    with model_of("crp", N):
        everything = dps.check_truncation(posterior(z=np.arange(N)))
    assert everything.table.loc["z", "suffices"] and everything.table.loc["z", "slots_full"] == 1
    assert everything.messages == ("z: K=6 slots hold every partition of 6 items.",)


def test_sticks_are_judged_by_the_last_weight():
    w = np.broadcast_to([0.5, 0.4, 0.1], (*DRAWS, 3)).copy()
    w[1, 0] = [0.3, 0.3, 0.4]
    z = np.broadcast_to([0, 0, 1, 1, 0, 0], (*DRAWS, N)).copy()
    z[1, :5, 0] = 2
    alpha = np.linspace(0.2, 0.8, 20).reshape(DRAWS)
    found = dps.check_truncation(posterior(z=z, w=w, alpha=alpha), model=model_of("sticks", 3))
    row = found.table.loc["z"]
    assert row["last_weight_mean"] == pytest.approx(0.115)
    assert (row["last_weight_max"], row["last_slot"], row["slots_full"]) == (0.4, 0.25, 0.25)
    assert row["bound"] == pytest.approx(dps.diagnostics.truncation_bound(0.5, N, 3))
    assert not row["suffices"]
    assert "mean weight of 0.115" in found.messages[0] and "Use K=6." in found.messages[0]
    assert f"K={dps.truncation_level(0.5, N)} brings it below 0.01." in found.messages[0]


def test_sticks_that_suffice():
    found = dps.check_truncation(
        posterior(z=[0, 0, 1, 1, 0, 0], w=[0.5, 0.499, 0.001]), model=model_of("sticks", 3, 0.01)
    )
    assert found.table.loc["z", "suffices"]
    assert "K=3 suffices for this posterior." in found.messages[0]
    bound = dps.diagnostics.truncation_bound(0.01, N, 3)
    assert found.table.loc["z", "bound"] == pytest.approx(bound, rel=1e-12) and bound < 0.01
    assert "brings" not in found.messages[0] and "0.01, its posterior mean." in found.messages[0]


def test_more_sticks_than_items_may_be_too_few():
    tree = posterior(z=np.full(N, 7), w=[0.01] * 7 + [0.93], alpha=80.0)
    found = dps.check_truncation(tree, model=model_of("sticks", 8))
    assert "the truncation at K=8 matters. Use K=16." in found.messages[0]


@pytest.mark.parametrize("prior", ["pitman-yor", "uneven", "growing"])
def test_there_is_no_bound_for_sticks_of_another_law(prior):
    found = dps.check_truncation(
        posterior(z=[0, 0, 1, 1, 0, 0], v=[0.5, 0.99], alpha=0.5), model=model_of(prior, 3)
    )
    assert found.table.loc["z", "last_weight_mean"] == pytest.approx(0.005)
    assert np.isnan(found.table.loc["z", "bound"]) and "bound" not in found.messages[0]
    assert found.table.loc["z", "suffices"]


@pytest.mark.parametrize(
    ("prior", "weights", "words"),
    [
        ("dirichlet", {"w": [0.2, 0.3, 0.5]}, "z: Dirichlet weights over K=3 components"),
        ("free", {"eta": np.log([0.2, 0.3, 0.5])}, "z: weights of unknown law over K=3 components"),
    ],
)
def test_a_finite_mixture_is_not_truncated(prior, weights, words):
    tree = posterior(z=[0, 0, 1, 1, 2, 2], **weights)
    found = dps.check_truncation(tree, model=model_of(prior, 3))
    row = found.table.loc["z"]
    assert row["suffices"] and row["last_weight_mean"] == pytest.approx(0.5)
    assert found.messages == (f"{words}, as written: nothing is cut off.",)


def test_several_allocations_have_a_row_each():
    with model_of("crp", 4) as model:
        rate = pm.Exponential("rate", 1.0, shape=2)
        s = dps.ChineseRestaurantProcess("s", 1.0, K=2, shape=3)
        pm.Poisson("counts", rate[s], observed=[0, 1, 9])
    found = dps.check_truncation(posterior(z=[0, 0, 1, 1, 2, 2], s=[0, 0, 1]), model=model)
    assert found.table["suffices"].to_dict() == {"z": True, "s": False}
    assert [message[:2] for message in found.messages] == ["z:", "s:"]


def test_a_variable_that_was_not_kept_is_named():
    with pytest.raises(ValueError, match="does not hold w"):
        dps.check_truncation(posterior(z=[0] * N, alpha=1.0), model=model_of("sticks", 3))
    with pytest.raises(ValueError, match="does not hold z"):
        dps.check_truncation(posterior(alpha=1.0), model=model_of("crp", 3))
