"""Prediction: densities, new observations, new data sets, leave-one-out."""

from pymc_dpsteps.predict.clusters import membership
from pymc_dpsteps.predict.curves import cdf, density, hazard
from pymc_dpsteps.predict.loo import log_likelihood, loo
from pymc_dpsteps.predict.new_data import new_data

__all__ = ["cdf", "density", "hazard", "log_likelihood", "loo", "membership", "new_data"]
