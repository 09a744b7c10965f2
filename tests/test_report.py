import base64
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from PIL import Image

import pymc_dpsteps as dps

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Text by section, sources of images; fails where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self.images: list[str] = []
        self.title = ""
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[key] for key in ("src", "href") if key in found]
        if tag == "img":
            assert found["alt"]
            self.images.append(found["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "title" in self.open:
            self.title += data
        if "section" in self.open:
            if self.open[-1] == "h2":
                self.sections[data] = ""
            else:
                self.sections[list(self.sections)[-1]] += data


def invented(model: pm.Model, y: np.ndarray, **draws: np.ndarray) -> xr.DataTree:
    """Result with these draws, of shape (chain, draw, ...), as if they had been sampled."""
    posterior = {
        name: (("chain", "draw", *(f"{name}_{d}" for d in range(x.ndim - 2))), x)
        for name, x in draws.items()
    }
    observed = {"y": ([f"y_{d}" for d in range(y.ndim)], y)}
    groups = {"posterior": xr.Dataset(posterior), "observed_data": xr.Dataset(observed)}
    tree = xr.DataTree.from_dict(groups)
    tree["partition"] = xr.DataTree(dps.diagnostics.partition(tree, model=model))
    return tree


@pytest.fixture(scope="module")
def line() -> tuple[pm.Model, xr.DataTree]:
    """Normal mixture of numbers, and its posterior."""
    y = np.r_[np.linspace(-1, 1, 12), np.linspace(5, 6, 6)]
    with pm.Model() as model:
        mu = pm.Normal("mu", 2, 4, shape=12)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=12, shape=len(y))
        pm.Normal("y", mu[z], 0.7, observed=y)
        idata = dps.sample(
            30, tune=20, chains=2, cores=1, random_seed=1, progressbar=False, quiet=True
        )
    return model, idata


def test_report_is_one_page_with_all_parts(line, tmp_path):
    model, idata = line
    path = tmp_path / "report.html"
    title = "Speeds <of> 'galaxies' & more"
    found = dps.report(
        idata, path, model=model, title=title, quantity="speed", units="km/s", random_seed=1
    )
    assert found == path
    page = Page(path)
    assert page.title == title
    assert "ChineseRestaurantProcess" in page.sections["Model"]
    assert "18 items are clustered by z" in page.sections["Model"]
    assert "Neal2" in page.sections["Sampling"] and pm.__version__ in page.sections["Sampling"]
    assert "K=12" in page.sections["Checks"]
    assert "n_clusters" in page.sections["Summary"]
    point = dps.partitions.point_partition(idata, random_seed=1)
    expected = f"expected loss (vi) is {point.attrs['expected_loss']:.3f}"
    assert expected in page.sections["Clusters"]
    left_out = [name for name, text in page.sections.items() if "Left out" in text]
    assert left_out == ["Clusters in the plane"]
    assert "shape is (18,)" in page.sections["Clusters in the plane"]
    assert len(page.images) == 7
    assert page.links == page.images  # nothing comes from elsewhere
    for source in page.images:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        Image.open(BytesIO(base64.b64decode(data, validate=True))).verify()


def test_report_of_a_given_partition_without_a_model(line, tmp_path):
    _, idata = line
    partition = np.repeat([0, 1], [12, 6])
    page = Page(dps.report(idata, str(tmp_path / "report.html"), partition=partition))
    expected = float(dps.partitions.expected_loss(partition, idata))
    assert f"expected loss (vi) is {expected:.3f}" in page.sections["Clusters"]
    assert "mu" in page.sections["Model"]
    for name in ("Partition and credible ball", "Density", "Posterior predictive check"):
        assert page.sections[name] == "Left out. No model was given."
    with pytest.raises(ValueError, match="18"):
        dps.report(idata, tmp_path / "report.html", partition=[0, 1])


def test_report_says_why_a_regression_has_no_density(tmp_path):
    rng = np.random.default_rng(3)
    y = rng.normal(size=12)
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 2, shape=8)
        z = dps.ChineseRestaurantProcess("z", 1.0, K=8, shape=12)
        x = pm.Data("x", np.linspace(-1, 1, 12))
        pm.Normal("y", slope[z] * x, 0.3, observed=y)
        labels = rng.integers(0, 3, size=(2, 15, 12))
        idata = invented(model, y, z=labels, slope=rng.normal(size=(2, 15, 8)))
        page = Page(dps.report(idata, tmp_path / "report.html", random_seed=1))  # model in context
    assert "Left out" in page.sections["Density"] and "x" in page.sections["Density"]
    assert "Left out" not in page.sections["Posterior predictive check"]
    assert "not recorded" in page.sections["Sampling"]


def test_report_of_data_in_the_plane(tmp_path):
    rng = np.random.default_rng(2)
    y = np.r_[rng.normal(size=(10, 2)), 5 + rng.normal(size=(6, 2))]
    with pm.Model() as model:
        mu = pm.Normal("mu", 2, 4, shape=(10, 2))
        z = dps.ChineseRestaurantProcess("z", 1.0, K=10, shape=16)
        pm.Normal("y", mu[z], 1.0, observed=y)
    labels = rng.integers(0, 3, size=(2, 15, 16))
    idata = invented(model, y, z=labels, mu=rng.normal(size=(2, 15, 10, 2)))
    names = {"quantity": ("width", "height"), "units": ("cm", "cm")}
    path = dps.report(idata, tmp_path / "report.html", model=model, random_seed=1, **names)
    page = Page(path)
    left_out = [name for name, text in page.sections.items() if "Left out" in text]
    assert left_out == ["Density"]
    assert "2 coordinates" in page.sections["Density"]
    assert len(page.images) == 7
