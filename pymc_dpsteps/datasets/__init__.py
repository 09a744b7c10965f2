"""Small public data sets for examples and tests."""

from importlib.resources import files

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["epil", "faithful", "galaxies", "iris", "nlschools", "skye", "va_lung"]


def galaxies() -> NDArray[np.float64]:
    """Velocities of 82 galaxies in the Corona Borealis region.

    The galaxies come from six well-separated conic sections of a survey; several modes in
    their velocities are evidence for superclusters with voids between them.

    Returns
    -------
    numpy.ndarray of float64, shape (82,)
        Velocities in 1000 km/s, in increasing order.

    Notes
    -----
    The values are those of ``galaxies`` in the R package MASS 7.3-58.2, divided by 1000. The
    documentation of MASS notes two things, left here as they are there: the 78th value, 26.690,
    is a typing error for 26.960; and an 83rd velocity in Postman et al. (1986), 5.607, is
    omitted, as it is by Roeder (1990).

    References
    ----------
    .. [1] Postman, M., Huchra, J. P. and Geller, M. J. (1986). Probes of large-scale structure
       in the Corona Borealis region. The Astronomical Journal 92, 1238-1247.
    .. [2] Roeder, K. (1990). Density estimation with confidence sets exemplified by
       superclusters and voids in the galaxies. Journal of the American Statistical
       Association 85, 617-624.
    """
    kilometres_per_second = _read("galaxies")["velocity_km_s"].to_numpy(dtype=np.float64)
    return kilometres_per_second / 1000.0


def faithful() -> pd.DataFrame:
    """Eruptions of the Old Faithful geyser in Yellowstone National Park.

    Returns
    -------
    pandas.DataFrame of float64, 272 rows
        ``eruptions``, the length of an eruption, and ``waiting``, the time to the next one, both
        in minutes.

    Notes
    -----
    ``faithful`` of R's package datasets.

    References
    ----------
    .. [1] Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
       Applied Statistics 39, 357-365.
    """
    return _read("faithful").astype(np.float64)


def iris() -> pd.DataFrame:
    """Flowers of three species of iris, 50 of each.

    Returns
    -------
    pandas.DataFrame, 150 rows
        ``sepal_length``, ``sepal_width``, ``petal_length`` and ``petal_width`` in centimetres,
        and ``species``: setosa, versicolor or virginica.

    Notes
    -----
    ``iris`` of R's package datasets.

    References
    ----------
    .. [1] Anderson, E. (1935). The irises of the Gaspe Peninsula. Bulletin of the American Iris
       Society 59, 2-5.
    .. [2] Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of
       Eugenics 7, 179-188.
    """
    table = _read("iris")
    return table.rename(columns=lambda name: name.lower().replace(".", "_"))


def skye() -> pd.DataFrame:
    """Composition of 23 lavas from the Isle of Skye.

    Returns
    -------
    pandas.DataFrame of float64, 23 rows
        Percentages ``A`` (sodium and potassium oxides), ``F`` (iron oxide) and ``M`` (magnesium
        oxide), which sum to 100.

    Notes
    -----
    ``Skye`` of the R package MASS 7.3-58.2.

    References
    ----------
    .. [1] Aitchison, J. (1986). The Statistical Analysis of Compositional Data. Chapman and Hall,
       page 360.
    """
    return _read("skye").astype(np.float64)


def va_lung() -> pd.DataFrame:
    """Survival of 137 men with advanced lung cancer in a trial of chemotherapy.

    Returns
    -------
    pandas.DataFrame, 137 rows
        ``days``, the time to death or to the last follow-up; ``died``, False where the time is
        censored on the right; ``treatment``, standard or test; ``age`` in years; ``karnofsky``,
        the performance score at the start, from 0 to 100; ``months``, the time from diagnosis to
        the start; ``cell``, the type of tumour: squamous, small, adeno or large; ``prior``,
        whether there was a therapy before.

    Notes
    -----
    ``VA`` of the R package MASS 7.3-58.2.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (1980). The Statistical Analysis of Failure Time
       Data. Wiley, page 223.
    """
    table = _read("va_lung")
    return pd.DataFrame(
        {
            "days": table["stime"].astype(np.float64),
            "died": table["status"] == 1,
            "treatment": table["treat"].map({1: "standard", 2: "test"}),
            "age": table["age"],
            "karnofsky": table["Karn"],
            "months": table["diag.time"],
            "cell": table["cell"].map({1: "squamous", 2: "small", 3: "adeno", 4: "large"}),
            "prior": table["prior"] == 10,
        }
    )


def epil() -> pd.DataFrame:
    """Seizures of 59 people with epilepsy in four periods of two weeks each.

    Returns
    -------
    pandas.DataFrame, 236 rows, one per patient and period
        ``subject`` from 1 to 59; ``period`` from 1 to 4; ``seizures``, their number in the
        period; ``treatment``, placebo or progabide; ``base``, the number of seizures in the eight
        weeks before; ``age`` in years.

    Notes
    -----
    ``epil`` of the R package MASS 7.3-58.2.

    References
    ----------
    .. [1] Thall, P. F. and Vail, S. C. (1990). Some covariance models for longitudinal count data
       with over-dispersion. Biometrics 46, 657-671.
    """
    table = _read("epil").rename(columns={"y": "seizures", "trt": "treatment"})
    return table[["subject", "period", "seizures", "treatment", "base", "age"]]


def nlschools() -> pd.DataFrame:
    """Language test of 2,287 Dutch pupils, about eleven years old, in 133 classes.

    Returns
    -------
    pandas.DataFrame, 2287 rows, one per pupil
        ``language``, the score in the test; ``iq``, the verbal IQ score (on a scale with a mean
        of about 12); ``school_class``, the number of the class; ``ses``, the socioeconomic status
        of the pupil's family.

    Notes
    -----
    ``nlschools`` of the R package MASS 7.3-58.2.

    References
    ----------
    .. [1] Snijders, T. A. B. and Bosker, R. J. (1999). Multilevel Analysis. Sage.
    """
    names = {"lang": "language", "IQ": "iq", "class": "school_class", "SES": "ses"}
    return _read("nlschools").rename(columns=names)


def _read(name: str) -> pd.DataFrame:
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as lines:
        return pd.read_csv(lines)
