"""Data sets that are tables: sizes, columns and a few values."""

import numpy as np
import pytest

from pymc_dpsteps import datasets

COLUMNS = {
    "faithful": (272, ["eruptions", "waiting"]),
    "iris": (150, ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]),
    "skye": (23, ["A", "F", "M"]),
    "va_lung": (
        137,
        ["days", "died", "treatment", "age", "karnofsky", "months", "cell", "prior"],
    ),
    "epil": (236, ["subject", "period", "seizures", "treatment", "base", "age"]),
    "nlschools": (2287, ["language", "iq", "school_class", "ses"]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_size_and_columns(name):
    table = getattr(datasets, name)()
    n_rows, columns = COLUMNS[name]
    assert len(table) == n_rows
    assert list(table.columns) == columns
    assert not table.isna().to_numpy().any()


def test_species_are_balanced():
    assert datasets.iris()["species"].value_counts().tolist() == [50, 50, 50]


def test_percentages_sum_to_one_hundred():
    np.testing.assert_allclose(datasets.skye().sum(axis=1), 100.0, atol=1.0)


def test_nine_survival_times_are_censored():
    table = datasets.va_lung()
    assert (~table["died"]).sum() == 9
    assert table.loc[0, ["days", "treatment", "cell"]].tolist() == [72.0, "standard", "squamous"]
    assert table["prior"].sum() == 40


def test_every_patient_has_four_periods():
    table = datasets.epil()
    assert (table.groupby("subject")["period"].apply(list).map(tuple) == (1, 2, 3, 4)).all()
    assert table["subject"].nunique() == 59


def test_classes_have_different_sizes():
    sizes = datasets.nlschools()["school_class"].value_counts()
    assert (len(sizes), sizes.min(), sizes.max()) == (133, 4, 33)
