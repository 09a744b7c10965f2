import numpy as np
import pandas as pd
import pytest

import pymc_dpsteps as dps

TABLE = pd.DataFrame(
    {
        "step": ["Neal8"] * 3 + ["Neal2"] * 3,
        "dimension": [8, 2, 4] * 2,
        "ms_per_independent_draw": [8.0, 2.0, 4.0, 8.1, np.nan, 3.0],
    }
)


def test_scaling_draws_a_line_for_every_step():
    ax = dps.plots.scaling(TABLE, x="dimension")
    first, second = ax.lines
    np.testing.assert_array_equal(first.get_xydata(), [[2, 2], [4, 4], [8, 8]])
    np.testing.assert_array_equal(second.get_xydata(), [[4, 3], [8, 8.1]])
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dimension", "time per independent draw (ms)")
    assert [text.get_text() for text in ax.texts] == ["Neal8", "Neal2"]
    low, high = (text.xyann[1] for text in ax.texts)
    assert high - low >= 0.05  # labels of ends that nearly coincide


def test_scaling_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match="No column n in the table; it has step, dimension"):
        dps.plots.scaling(TABLE, x="n")
    with pytest.raises(ValueError, match="are positive"):
        dps.plots.scaling(TABLE.assign(dimension=0), x="dimension")
