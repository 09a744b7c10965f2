import numpy as np
import pytest
from scipy import stats

import pymc_dpsteps as dps
from tests.helpers_draws import (
    K,
    N,
    S,
    normal_draws,
    normal_kernel,
    restaurant_model,
    restaurant_weights,
    tree,
    weighted_draws,
    weighted_model,
)

POINTS = np.array([-1.0, 0.2, 60.0])  # at the last no density is above exp(-700)
PARTITION = np.array([0, 0, 1, 1, 1, 0, 2])


@pytest.mark.parametrize("kind", ["weights", "restaurant"])
def test_membership_is_that_of_the_items_a_point_joins(kind):
    if kind == "weights":
        model, state = weighted_model(), weighted_draws()
        weights = state["w"]
    else:
        model, state = restaurant_model(), normal_draws()
        weights = np.stack([restaurant_weights(z, 0.7, 0.25) for z in state["z"]])
    found = dps.predict.membership(tree(**state), POINTS, partition=PARTITION, model=model)
    parts = np.zeros((2, 4))
    for s, f in enumerate(normal_kernel(state, POINTS[:2])):
        for k in range(K):
            members = PARTITION[state["z"][s] == k]
            share = np.bincount(members, minlength=4) / max(len(members), 1)
            share[3] = len(members) == 0
            parts += weights[s, k] * np.outer(f[:, k], share) / S
    density = parts.sum(axis=1)
    np.testing.assert_allclose(found["probability"][:2], parts / density[:, None], rtol=1e-10)
    np.testing.assert_allclose(found["log_density"][:2], np.log(density), rtol=1e-10)
    np.testing.assert_allclose(found["probability"].sum("cluster"), 1.0, rtol=1e-12)
    assert found["cluster"].values.tolist() == ["0", "1", "2", "new"]
    np.testing.assert_array_equal(found["y"], POINTS)
    # Far out only the widest component of all draws counts.
    log_f = stats.norm.logpdf(60.0, state["mu"], state["sigma"]) + np.log(weights)
    assert found["log_density"][2] == pytest.approx(np.logaddexp.reduce(log_f.ravel()) - np.log(S))

    whether_new = dps.predict.membership(tree(**state), POINTS, model=model)
    np.testing.assert_allclose(
        whether_new["probability"].sel(cluster="new"), found["probability"].sel(cluster="new")
    )
    assert whether_new["cluster"].values.tolist() == ["any", "new"]


def test_labels_of_the_slots_do_not_matter():
    model, state = restaurant_model(), normal_draws()
    first = dps.predict.membership(tree(**state), POINTS, partition=PARTITION, model=model)
    swapped = {name: x.copy() for name, x in state.items()}
    for s in range(S):
        order = np.random.default_rng(s).permutation(K)
        swapped["z"][s] = order[state["z"][s]]
        for name in ("mu", "sigma"):
            swapped[name][s, order] = state[name][s]
    second = dps.predict.membership(tree(**swapped), POINTS, partition=PARTITION, model=model)
    np.testing.assert_allclose(first["probability"], second["probability"], rtol=1e-10)


def test_bad_points_and_partitions_are_refused():
    idata, model = tree(**weighted_draws()), weighted_model()
    with pytest.raises(ValueError, match=r"shape \(\); expected \(G,\)"):
        dps.predict.membership(idata, 1.0, model=model)
    with pytest.raises(ValueError, match=rf"expected \({N},\), a label for every item of z"):
        dps.predict.membership(idata, POINTS, partition=PARTITION[:3], model=model)
