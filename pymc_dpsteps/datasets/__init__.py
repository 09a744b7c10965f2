"""Small public data sets for examples and tests."""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["galaxies"]


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
    with files(__name__).joinpath("galaxies.csv").open(encoding="utf-8") as lines:
        kilometres_per_second = np.loadtxt(lines, skiprows=1, dtype=np.float64)
    return kilometres_per_second / 1000.0
