"""What all step methods share: reading the model, packing the state, the order of updates."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pymc.blocking import PointType, StatsType
from pymc.model import modelcontext
from pymc.stats.convergence import SamplerWarning
from pymc.step_methods.compound import BlockedStep, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator
from pytensor.tensor.variable import TensorVariable

from pymc_dpsteps.conjugate import find_conjugacy
from pymc_dpsteps.mixture.compile import CompiledMixture, compile_mixture
from pymc_dpsteps.mixture.impute import compile_imputation
from pymc_dpsteps.mixture.read import read_mixture
from pymc_dpsteps.mixture.structure import Conjugacy, Mixture, MixtureError, PriorKind
from pymc_dpsteps.modes.em import find_mode
from pymc_dpsteps.modes.objective import compile_objective
from pymc_dpsteps.steps.arguments import (
    changed,
    check_option,
    check_owned,
    data_of,
    named_allocation,
    no_pair_message,
    whole_number,
)
from pymc_dpsteps.steps.few_slots import few_slots
from pymc_dpsteps.steps.packing import Packing
from pymc_dpsteps.steps.start import spread_of_base, start_at
from pymc_dpsteps.steps.state import Chain, State, allocate
from pymc_dpsteps.steps.subsets import FEW, check_subsets, start_on_subsets
from pymc_dpsteps.steps.support import refuse_impossible_data
from pymc_dpsteps.steps.updates import prepare, update_atoms
from pymc_dpsteps.threads import threads_of_a_chain
from pymc_dpsteps.urns import Urn, urn_for

__all__ = ["MixtureStep"]


@dataclass_state
class MixtureStepState(StepMethodState):
    """What a step carries from one iteration to the next, for checkpoints."""

    tune: bool
    started: bool
    iteration: int
    last_iteration: int
    n_tune: int
    n_full: int
    last_weight_sum: float
    spread: NDArray[np.float64]
    widths: NDArray[np.float64]
    hyper_widths: NDArray[np.float64]


class MixtureStep(BlockedStep):
    """Base of the step methods: subclasses say how a sweep reassigns the items.

    The step owns the allocation, the atoms, the weights (where their law is known), the
    concentration and the hyperparameters of the base measure. Variables it does not own, such as
    a scale that all components share, are left to PyMC's other step methods and read anew at
    every iteration.

    Parameters
    ----------
    vars : variable or list of variables, optional
        The allocation; needed only where the model has several. Other variables that the step
        owns may be listed as well.
    concentration : {"auto", "slice", None}, default "auto"
        "slice" updates the scalar concentration parameters (alpha, discount) by slice sampling
        with the weights integrated out, for any prior; None leaves them to PyMC; "auto" is
        "slice" where the model has such parameters.
    atoms : {"auto", "slice", None}, default "auto"
        How the atoms of occupied components are updated. "auto" draws them from their
        conditional law where they have a conjugate pair, one after the other where the pair is
        conditional on the component's other atoms, and slice-samples the rest; "slice" is
        univariate slice sampling of all in unconstrained space; None leaves them to PyMC's other
        step methods (NUTS). Atoms of empty components are drawn from G0 in any case.
    hyperparameters : {"auto", "slice", None}, default "auto"
        "slice" updates the hyperparameters of G0, the continuous variables that the data reach
        through the priors of the atoms alone, by slice sampling given the atoms of occupied
        components; those of empty ones are then redrawn. None leaves them to PyMC, whose steps
        update them given the atoms of all K components, which mixes more slowly; "auto" is
        "slice" where the model has such variables.
    init : {"prior", "one", "singletons", "subsets", "map"}, default "prior"
        Partition at the start of each chain: a draw from the allocation's prior, a single
        cluster, or as many clusters as there are items (or slots, if these are fewer). Atoms
        start from G0. With "subsets", for more items than some ten thousand, every chain starts
        with as many clusters as slots and first runs on a random 1,000 items, then on 4,000,
        16,000, …, as long as there are more: 500 iterations each, together what some 170 on all
        items cost. With "map" every chain starts at a local mode, found by EM from a start of its
        own (see `dps.find_map`), with all that the step updates; the model must have no other
        discrete variable and no latent kernel variable, and its densities gradients.
    sweeps : int, default 1
        Iterations of the algorithm per draw. What is fixed per draw, mostly PyMC's own work, is
        some 30 µs, more than an iteration on a hundred items takes: where neighbouring draws are
        alike, five or ten sweeps give more independent draws per second.
    threads : int, optional
        Threads for one chain where an algorithm can use several: `BlockedGibbs` and `SliceGibbs`,
        from 20,000 items on. Default: all cores, but one where chains run in processes of their
        own. Draws do not depend on it.
    model : pymc.Model, optional
        Default: the model in context.
    rng : RandomGenerator, optional
        For use outside `pymc.sample`, which seeds each chain itself.
    **pymc_kwargs
        ``blocked``, ``initial_point`` and ``compile_kwargs``, which `pymc.sample` passes to
        every step method.

    Raises
    ------
    MixtureError
        If the model is not a mixture that this step can sample exactly.
    """

    default_blocked = True
    atoms_options: ClassVar[tuple[str | None, ...]] = ("auto", "slice", None)
    # Whether the algorithm needs the atoms integrated out.
    needs_conjugate: ClassVar[bool] = False
    # Functions of sufficient statistics that the algorithm uses where atoms can be integrated out.
    uses_statistics: ClassVar[tuple[str, ...]] = ()
    # Whether the algorithm uses the kernel of many items under one component.
    uses_kernel_of_items: bool = False
    # Number of items from which on threads pay: a call from Python costs some 0.1 ms.
    threads_from: ClassVar[int] = 20_000
    # Whether an iteration ends with the atoms of all occupied components given their items.
    updates_atoms: ClassVar[bool] = True
    stats_dtypes_shapes: ClassVar[dict] = {
        "n_clusters": (np.int64, []),
        "largest_cluster": (np.int64, []),
        "births": (np.int64, []),
        "deaths": (np.int64, []),
        "slice_evaluations": (np.int64, []),
        "slots_full": (bool, []),
        "warning": (SamplerWarning, None),
    }
    _state_class = MixtureStepState

    def __init__(
        self,
        vars: Any = None,
        *,
        concentration: Literal["auto", "slice"] | None = "auto",
        atoms: Literal["auto", "slice"] | None = "auto",
        hyperparameters: Literal["auto", "slice"] | None = "auto",
        init: Literal["prior", "one", "singletons", "subsets", "map"] = "prior",
        sweeps: int = 1,
        threads: int | None = None,
        model: pm.Model | None = None,
        rng: Any = None,
        **pymc_kwargs: Any,
    ) -> None:
        check_option("concentration", concentration, ("auto", "slice", None))
        check_option("atoms", atoms, self.atoms_options)
        check_option("hyperparameters", hyperparameters, ("auto", "slice", None))
        check_option("init", init, ("prior", "one", "singletons", "subsets", "map"))
        self.sweeps = whole_number(self, "sweeps is a number of iterations", sweeps)
        if threads is not None:
            threads = whole_number(self, "threads is a number of threads", threads)
        if unknown := set(pymc_kwargs) - {"blocked", "initial_point", "compile_kwargs"}:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(sorted(unknown))}.")
        self.model = modelcontext(model)
        self.concentration = concentration
        self.atoms = atoms
        self.hyperparameters = hyperparameters
        self.init = init
        self._threads = threads
        self.rng = get_random_generator(rng)
        self._allocation_name = named_allocation(self.model, vars)
        self._read()
        self._check_prior()
        if self.needs_conjugate and not self._conjugacy.complete:
            raise MixtureError(self._no_pair_message())
        if init == "subsets":
            check_subsets(atoms)
        self._compile()
        parameters = (*self._theta, *self._hyper)
        owned = {rv.name for rv in self._mixture.owned(parameters, atoms=self.atoms is not None)}
        self.vars = [self.model.rvs_to_values[rv] for rv in self.model.free_RVs if rv.name in owned]
        check_owned(self.model, vars, self.vars)
        self._check_support()
        self._reset(tune=0, draws=0)

    @abstractmethod
    def _check_prior(self) -> None:
        """Refuse a prior of the allocation that the algorithm cannot use."""

    @abstractmethod
    def _pool_size(self) -> int:
        """Draws from G0 kept ready: a multiple of K."""

    @abstractmethod
    def _iterate(self, rest: tuple[bool, bool, int]) -> tuple[int, int, int]:
        """Run one iteration on the packed state.

        `rest` is what `update_rest` takes after rng and state. Returns the numbers of clusters
        opened and closed and of density evaluations.
        """

    # Reading and compiling -------------------------------------------------------------------

    def _read(self) -> None:
        self._mixture: Mixture = read_mixture(self.model, self._allocation_name)
        self._conjugacy: Conjugacy = find_conjugacy(self._mixture)
        self._data = data_of(self.model)
        found = self._mixture.concentration
        if self.concentration == "slice" and not found:
            raise MixtureError(
                f"concentration='slice', but the prior of {self._mixture.allocation.name} has no "
                "scalar concentration parameter of its own with a prior. Use 'auto'."
            )
        self._theta: tuple[TensorVariable, ...] = () if self.concentration is None else found
        hyper = self._mixture.hyperparameters
        if self.hyperparameters == "slice" and not hyper:
            raise MixtureError(
                "hyperparameters='slice', but the priors of the atoms "
                f"{', '.join(atom.rv.name for atom in self._mixture.atoms)} depend on no "
                "continuous variables that nothing else depends on. Use 'auto'."
            )
        self._hyper: tuple[TensorVariable, ...] = () if self.hyperparameters is None else hyper

    def _no_pair_message(self) -> str:
        return no_pair_message(type(self).__name__, self._mixture, self._conjugacy)

    def _compile(self) -> None:
        mixture = self._mixture
        self._compiled: CompiledMixture = compile_mixture(
            mixture,
            self._theta,
            self._conjugacy,
            hyperparameters=self._hyper,
            statistics=self.uses_statistics if self._conjugacy.complete else (),
            of_items=self.uses_kernel_of_items,
        )
        known = mixture.prior.kind is not PriorKind.WEIGHTS
        self._urn: Urn | None = urn_for(mixture.prior.kind) if known else None
        weight_rv = mixture.prior.weight_rv
        values = mixture.model.rvs_to_values
        self._packing = Packing.of(mixture, self._theta, self._hyper)
        width = 0 if weight_rv is None else int(np.prod(values[weight_rv].type.shape))
        self._kept: Chain | None = None
        self._state = allocate(
            self._compiled,
            self._urn,
            n_items=mixture.n_items,
            n_components=mixture.n_components,
            n_pool=self._pool_size(),
            n_theta=len(self._theta),
            n_hyper=self._packing.n_hyper,
            n_weight_value=width,
        )
        if self.atoms == "slice":
            self._state = self._state._replace(sliced=np.arange(self._compiled.n_values))
        self._rest = (
            self._urn is not None and not self._urn.exchangeable,
            self.atoms is not None and self.updates_atoms,
            0 if weight_rv is None else 2 if mixture.prior.by_sticks else 1,
        )
        if not self._compiled.context_names:
            self._set_context({})
        if mixture.imputed:
            self._impute = compile_imputation(mixture)
        if self.init == "map":
            self._objective = compile_objective(mixture)

    @property
    def _chain(self) -> int:
        """Address of the generator and state of the chain."""
        kept = self._kept
        if kept is None or kept.rng is not self.rng or kept.state is not self._state:
            self._kept = kept = Chain(self.rng, self._state)
        return kept.address

    def _set_context(self, point: PointType) -> None:
        compiled = self._compiled
        items, shared = compiled.context(*[point[name] for name in compiled.context_names])
        if items is self._state.items:
            self._state.shared[:] = shared  # the chain keeps its address
        else:
            self._state = self._state._replace(items=items, shared=shared)

    def _check_support(self) -> None:
        if self._compiled.context_names or self._hyper:
            point = self.model.initial_point(random_seed=0)
            self._set_context(point)
            self._packing.unpack_hyperparameters(point, self._state)
        refuse_impossible_data(self._state, self._mixture)

    # PyMC's interface ------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Compiled code stays behind: `setup_chain` compiles again in another process."""
        compiled = (
            "_mixture",
            "_impute",
            "_objective",
            "_conjugacy",
            "_compiled",
            "_urn",
            "_state",
            "_kept",
        )
        dropped = (*compiled, "_theta", "_hyper")
        return {k: v for k, v in self.__dict__.items() if k not in dropped}

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Seed this chain and reset all that belongs to a chain."""
        super().setup_chain(rng, tune, draws)
        if not hasattr(self, "_state") or changed(self._data, self.model):
            self._read()
            self._compile()
        self._reset(tune, draws)

    @property
    def threads(self) -> int:
        """Threads that one chain may use."""
        return threads_of_a_chain() if self._threads is None else self._threads

    def _reset(self, tune: int, draws: int) -> None:
        self.tune = tune > 0
        self.started = False
        self.iteration = 0
        self.last_iteration = tune + draws
        self.n_tune = tune
        self.n_full = 0
        self.last_weight_sum = 0.0
        self.spread = np.ones(self._compiled.n_values)
        self.widths = self.spread.copy()
        self.hyper_widths = np.ones(len(self._state.hyper))

    def step(self, point: PointType) -> tuple[PointType, StatsType]:
        """Update the allocation, atoms, concentration and weights of a point.

        Parameters
        ----------
        point : dict
            Value variables by name; not changed.

        Returns
        -------
        point : dict
            A new point with the same keys in the same order.
        stats : list of dict
            One dictionary of sampler statistics.
        """
        self._unpack(point)
        if not self.started:
            self._start()
        births = deaths = evaluations = 0
        for sweep in range(self.sweeps):
            if sweep > 0 and self._mixture.imputed:
                point = self._packed(point)
                self._unpack(point)
            opened, closed, spent = self._iterate(self._rest)
            births, deaths, evaluations = births + opened, deaths + closed, evaluations + spent
            if self.tune:
                self._adapt_widths()
        stats = self._stats(births, deaths, evaluations)
        new = self._packed(point)
        return new, [stats]

    def _packed(self, point: PointType) -> PointType:
        new = self._packing.pack(point, self._state)
        if self._mixture.imputed:
            new |= self._impute(self.rng, new)
        return new

    def _unpack(self, point: PointType) -> None:
        self._packing.unpack(point, self._state)
        if self._compiled.context_names:
            self._set_context(point)
        self._state.widths[:] = self.widths
        self._state.hyper_widths[:] = self.hyper_widths

    def _adapt_widths(self) -> None:
        state = self._state
        if self._rest[1]:
            _adapt(self.widths, state.moves)
            state.widths[:] = self.widths
        _adapt(self.hyper_widths, state.hyper_moves)
        state.hyper_widths[:] = self.hyper_widths

    def _start(self) -> None:
        self.started = True
        self.spread[:] = self.widths[:] = spread_of_base(self.rng, self._state)
        self._state.widths[:] = self.widths
        if self.init == "map":
            mode = find_mode(self._objective, self.rng)
            point = self._objective.unpack(mode.x) | {self._packing.allocation: mode.labels}
            self._packing.unpack(point, self._state)
            prepare(self._state)
            return
        if self.init == "subsets" and len(self._state.z) > FEW:
            full = self._state
            try:
                start_on_subsets(self.rng, full, self._start_at, self._iterate_on)
            finally:
                self._state = full
            return
        self._start_at(self._state)

    def _start_at(self, state: State) -> None:
        # Clusters too many become fewer sooner than large ones come apart.
        init = "singletons" if self.init == "subsets" else self.init
        start_at(self.rng, state, init, integrated=self._urn is not None)
        if self.atoms is not None:
            update_atoms(self.rng, state)

    def _iterate_on(self, state: State) -> None:
        """Run an iteration on fewer items."""
        self._state = state
        self._iterate(self._rest)
        self._adapt_widths()

    def _stats(self, births: int, deaths: int, evaluations: int) -> dict[str, Any]:
        state = self._state
        n_clusters = int(state.n_active[0])
        full = n_clusters == len(state.counts)
        self.iteration += 1
        if self.iteration > self.n_tune:
            self.n_full += full
            self.last_weight_sum += float(state.weights[-1])
        return {
            "n_clusters": n_clusters,
            "largest_cluster": int(state.counts.max()),
            "births": births,
            "deaths": deaths,
            "slice_evaluations": evaluations,
            "slots_full": full,
            "warning": self._warning() if self.iteration == self.last_iteration else None,
        }

    def _warning(self) -> SamplerWarning | None:
        draws = self.last_iteration - self.n_tune
        if draws < 1:
            return None
        full, last_weight = self.n_full / draws, self.last_weight_sum / draws
        return few_slots(self._mixture, self._packing.allocation, full, last_weight)

    @staticmethod
    def _progressbar_config(n_chains: int = 1) -> tuple[list[Any], dict[str, list[int]]]:
        from rich.progress import TextColumn
        from rich.table import Column

        columns = [
            TextColumn("{task.fields[n_clusters]}", table_column=Column("Clusters", ratio=1))
        ]
        return columns, {"n_clusters": [0] * n_chains}

    @staticmethod
    def _make_progressbar_update_functions() -> tuple[Any, ...]:
        def update_stats(step_stats: dict[str, Any]) -> dict[str, Any]:
            return {"n_clusters": step_stats["n_clusters"]}

        return (update_stats,)


def _adapt(widths: NDArray[np.float64], moves: NDArray[np.float64]) -> None:
    """Let the widths of slice samplers follow three times the mean move."""
    moved = moves > 0.0  # not what is drawn
    widths[moved] += 0.1 * (3.0 * moves - widths)[moved]
