"""Other programs on the models of `cases`: draws of one chain, and seconds per draw.

Each takes a case and a number of draws and returns (draws of the functionals, seconds per draw):
after compilation, adaptation and burn-in, one chain on one core. The programs that need a finite
number of components have K sticks. Where z is summed out it is drawn afterwards, given the rest.
"""

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
import pymc as pm

from tests.benchmarks import chains
from tests.benchmarks.cases import K

SEED = 1
WARM_UP = 500

JAGS_MODEL = """
model {{
  for (k in 1:{sticks}) {{ v[k] ~ dbeta(1, {alpha}) }}
  w[1] <- v[1]
  for (k in 2:{sticks}) {{ w[k] <- v[k] * (1 - v[k - 1]) * w[k - 1] / v[k - 1] }}
  w[{sticks} + 1] <- 1 - sum(w[1:{sticks}])
  for (k in 1:({sticks} + 1)) {{
    mu[k] ~ dnorm({m0}, 1 / {s0} ^ 2)
    tau[k] ~ dgamma({a}, {b})
  }}
  for (i in 1:N) {{
    z[i] ~ dcat(w)
    y[i] ~ dnorm(mu[z[i]], tau[z[i]])
  }}
}}
"""
# JAGS writes a file where it would tell the time.
JAGS_SCRIPT = """
model in "model"
data in "data"
compile
parameters in "seed"
initialize
update {warm_up}
monitor z
monitor mu
monitor tau
samplers to "start"
update {draws}
samplers to "end"
coda *
"""


def functionals_of(case, z, mu, sigma):
    """Functionals of draws of shape (draw, item) and (draw, component)."""
    rows = np.empty((len(z), 3))
    for s in range(len(z)):
        chains.functionals(case, case.prior[0], z[s], mu[s], sigma[s], rows[s])
    return rows


def allocated(case, w, mu, sigma):
    """Functionals of draws with z summed out, shape (draw, component): z is drawn given them."""
    rng, z = np.random.default_rng(SEED), np.empty((len(w), len(case.y)), dtype=np.int64)
    for s in range(len(w)):
        log_p = np.log(w[s] / sigma[s]) - 0.5 * ((case.y[:, None] - mu[s]) / sigma[s]) ** 2
        z[s] = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)
    return functionals_of(case, z, mu, sigma)


def jags(case, draws):
    """Gibbs sampling of the truncated model."""
    alpha, m0, s0, a, b = case.prior
    with TemporaryDirectory() as folder:
        path = Path(folder)
        model = JAGS_MODEL.format(sticks=K - 1, alpha=alpha, m0=m0, s0=s0, a=a, b=b)
        (path / "model").write_text(model)
        (path / "data").write_text(f"N <- {len(case.y)}\ny <- c({', '.join(map(str, case.y))})\n")
        (path / "seed").write_text(f'.RNG.name <- "base::Mersenne-Twister"\n.RNG.seed <- {SEED}\n')
        (path / "script").write_text(JAGS_SCRIPT.format(warm_up=draws // 4, draws=draws))
        subprocess.run(["jags", "script"], cwd=path, check=True, capture_output=True)
        seconds = (os.stat(path / "end").st_mtime_ns - os.stat(path / "start").st_mtime_ns) / 1e9
        values = pd.read_csv(path / "CODAchain1.txt", sep=r"\s+", header=None, usecols=[1])
    columns = values.to_numpy().reshape(-1, draws)
    n_items = len(case.y)
    z, mu, tau = np.split(columns, [n_items, n_items + K])
    z = z.astype(np.int64).T - 1
    return functionals_of(case, z, mu.T, tau.T**-0.5), seconds / draws


def pymc_compound(case, draws):
    """What PyMC assigns by itself: Metropolis for z, NUTS for the rest."""
    model = case.sticks
    with model:
        step = pm.CategoricalGibbsMetropolis(model["z"])
    idata, seconds = chains.sample(model, step, draws, tune=200)
    z, mu, sigma2 = (idata.posterior[name].values[0] for name in ("z", "mu", "sigma2"))
    return functionals_of(case, z, mu, np.sqrt(sigma2)), seconds


def marginalised(case):
    """The truncated model with z summed out."""
    alpha, m0, s0, a, b = case.prior
    with pm.Model() as model:
        sigma2 = pm.InverseGamma("sigma2", a, b, shape=K)
        mu = pm.Normal("mu", m0, s0, shape=K)
        w = pm.StickBreakingWeights("w", alpha, K=K - 1)
        pm.NormalMixture("y", w, mu, pm.math.sqrt(sigma2), observed=case.y)
    return model


def from_posterior(case, posterior):
    w, mu, sigma2 = (np.asarray(posterior[name])[0] for name in ("w", "mu", "sigma2"))
    return allocated(case, w, mu, np.sqrt(sigma2))


def pymc_nuts(case, draws):
    """PyMC's NUTS with z summed out."""
    idata, seconds = chains.sample(marginalised(case), None, draws, tune=WARM_UP)
    return from_posterior(case, idata.posterior), seconds


def nutpie(case, draws):
    """NUTS of nutpie, z summed out; the time of warm-up is that of a run with one draw."""
    import nutpie

    compiled = nutpie.compile_pymc_model(marginalised(case))

    def run(n):
        start = perf_counter()
        idata = nutpie.sample(
            compiled, draws=n, tune=WARM_UP, chains=1, cores=1, seed=SEED, progress_bar=False
        )
        return idata, perf_counter() - start

    _, warm_up = run(1)
    idata, seconds = run(draws)
    return from_posterior(case, idata.posterior), (seconds - warm_up) / (draws - 1)


def numpyro(case, draws):
    """NUTS of NumPyro, z summed out."""
    import jax
    import jax.numpy as jnp
    import numpyro.distributions as dist
    from jax.scipy.special import logsumexp
    from numpyro import factor, sample
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)
    alpha, m0, s0, a, b = case.prior
    y = jnp.asarray(case.y)[:, None]

    def model():
        v = sample("v", dist.Beta(1.0, alpha).expand([K - 1]))
        mu = sample("mu", dist.Normal(m0, s0).expand([K]))
        sigma2 = sample("sigma2", dist.InverseGamma(a, b).expand([K]))
        rest = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log1p(-v))])
        log_w = jnp.append(jnp.log(v), 0.0) + rest
        factor("y", logsumexp(log_w + dist.Normal(mu, jnp.sqrt(sigma2)).log_prob(y), 1).sum())

    mcmc = MCMC(NUTS(model), num_warmup=WARM_UP, num_samples=draws, progress_bar=False)
    mcmc.warmup(jax.random.key(SEED))
    state = mcmc.post_warmup_state
    mcmc.run(state.rng_key)  # compiles
    mcmc.post_warmup_state = state
    start = perf_counter()
    mcmc.run(state.rng_key)
    found = {name: np.asarray(x) for name, x in mcmc.get_samples().items()}
    seconds = perf_counter() - start
    rest = np.cumprod(1.0 - found["v"], axis=1)
    w = np.column_stack([found["v"], np.ones(draws)])
    w[:, 1:] *= rest
    return allocated(case, w, found["mu"], np.sqrt(found["sigma2"])), seconds / draws


def pyrichlet(case, draws):
    """Slice sampler of pyrichlet, which has a normal-inverse-Wishart base only."""
    from pyrichlet import DirichletProcessMixture

    alpha, m0, _, a, b = case.prior
    mixture = DirichletProcessMixture(
        alpha=alpha, mu_prior=np.array([m0]), lambda_prior=case.kappa,
        psi_prior=np.array([[2.0 * b]]), nu_prior=2.0 * a, burn_in=WARM_UP,
        total_iter=WARM_UP + draws, rng=SEED,
    )  # fmt: skip
    start = perf_counter()
    mixture.fit_gibbs(case.y[:, None])
    seconds = perf_counter() - start
    rows = np.empty((draws, 3))
    for row, found in zip(rows, mixture.sim_params, strict=True):
        theta = found["theta"]
        occupied, z = np.unique(found["d"], return_inverse=True)
        mu = np.array([float(theta[j][0][0]) for j in occupied])
        sigma = np.sqrt([float(theta[j][1][0, 0]) for j in occupied])
        padded = np.zeros((2, K))
        padded[:, : len(mu)] = mu, sigma
        chains.functionals(case, alpha, z, *padded, row)
    return rows, seconds / (WARM_UP + draws)


def sklearn_density(case):
    """Density at the case's point of scikit-learn's variational mixture, and seconds to fit."""
    from scipy import stats
    from sklearn.mixture import BayesianGaussianMixture

    alpha, m0, _, a, b = case.prior
    mixture = BayesianGaussianMixture(
        n_components=K, weight_concentration_prior=alpha, mean_prior=[m0],
        mean_precision_prior=case.kappa, degrees_of_freedom_prior=2.0 * a,
        covariance_prior=[[2.0 * b]], max_iter=10_000, random_state=SEED,
    )  # fmt: skip
    start = perf_counter()
    mixture.fit(case.y[:, None])
    seconds = perf_counter() - start
    sd = np.sqrt(mixture.covariances_[:, 0, 0])
    density = mixture.weights_ @ stats.norm.pdf(case.point, mixture.means_[:, 0], sd)
    return float(density), seconds
