"""Compilation to machine code: what every room that holds numba code uses.

Sweeps are compiled once for all models and cached on disk. What belongs to a model (its kernel,
its base measure) and to an urn reaches them as the *address* of a compiled function with a fixed
signature, turned back into a callable by `function_at`. A call through an address costs about
2 ns; passing numba's own first-class function objects from Python costs 40 µs each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from pytensor import config
from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src

__all__ = [
    "address_of",
    "compile_source",
    "function_at",
    "load",
    "njit",
    "njit_inline",
    "njit_lean",
    "room_for",
    "source_key",
    "store",
]


@cache
def _sources(module: str) -> frozenset[Path]:
    """Files of a module of this package and of all that it imports from the package."""
    found: set[Path] = set()
    pending = {module}
    while pending:
        path = _file_of(pending.pop())
        if path is None or path in found:
            continue
        found.add(path)
        for base, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
            pending.add(base)
            pending.update(f"{base}.{name}" for name in re.findall(r"\w+", names))
    return frozenset(found)


_IMPORT = re.compile(r"^from (pymc_dpsteps[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


def _file_of(module: str) -> Path | None:
    path = Path(__file__).parents[1].joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def source_key(module: str) -> str:
    """Hash of the source that a function of `module` can reach.

    Numba's own key misses changes in called functions. A function can call what its module
    imports, and the package imports from itself by ``from pymc_dpsteps.… import`` only.
    """
    digest = sha256()
    for path in sorted(_sources(module)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def njit(function: Callable[..., Any]) -> Any:
    """Compile lazily with numba, cached on disk until any source it can reach changes.

    Calls release Python's lock, so that several threads run side by side.
    """
    return _compiled(function, _nrt=True)  # said, because what calls it may do without


def njit_lean(function: Callable[..., Any]) -> Any:
    """Compile as `njit` does a function that allocates no memory.

    Numba counts the references to every array that is passed, by atomic instructions: some 5 ns
    each. What allocates nothing can do without.
    """
    return _compiled(function, _nrt=False)


def njit_inline(function: Callable[..., Any]) -> Any:
    """Compile a small function that allocates no memory into its callers."""
    options: dict[str, Any] = {"forceinline": True, "error_model": "numpy", "_nrt": False}
    return numba.njit(**options)(function)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    key = f"{source_key(function.__module__)}:{function.__module__}.{function.__qualname__}"
    CACHED_SRC_FUNCTIONS[function] = sha256(key.encode()).hexdigest()
    options |= {"cache": config.numba__cache, "error_model": "numpy", "nogil": True}
    return numba.njit(**options)(function)


def compile_source(
    source: str,
    name: str,
    names: dict[str, Any],
    signature: Signature,
    key: str | None,
    *,
    lean: bool = False,
) -> Any:
    """Compile generated source eagerly for one signature.

    Parameters
    ----------
    source : str
        Source of one function.
    name : str
        Its name.
    names : dict
        Global names that the source uses.
    signature : numba signature
        The only signature it is compiled for.
    key : str or None
        Identifies what is behind `names`, for the disk cache; None when that cannot be cached.
    lean : bool, default False
        Whether to do without counts of references, see `njit_lean`. What it calls may allocate
        memory, but not return any: that would never be given back.

    Returns
    -------
    numba dispatcher
    """
    cached = key is not None and config.numba__cache
    cache_key = None if not cached else sha256(f"{signature}:{source}:{key}".encode()).hexdigest()
    names = {**names, "__name__": __name__}  # numba's cache asks for the function's module
    function = compile_numba_function_src(source, name, names, cache_key=cache_key)
    options: dict[str, Any] = {"cache": cached, "error_model": "numpy", "_nrt": not lean}
    return numba.njit(signature, **options)(function)


def address_of(dispatcher: Any, signature: Signature) -> int:
    """Address of the machine code of `dispatcher` for `signature`, compiling it if needed.

    The dispatcher must be kept alive as long as the address is in use.
    """
    if signature.args not in dispatcher.overloads:
        dispatcher.compile(signature.args)
    compiled = dispatcher.get_compile_result(signature)
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return address


@intrinsic
def _function_at(typing_context: Any, address: Any, function_type: Any) -> Any:
    result = function_type.instance_type

    def codegen(context: Any, builder: Any, signature: Signature, args: Any) -> Any:
        struct = cgutils.create_struct_proxy(result)(context, builder)
        struct.jit_addr = builder.inttoptr(args[0], cgutils.voidptr_t)
        return struct._getvalue()

    return result(types.int64, function_type), codegen


function_at: Any = _function_at
"""``function_at(address, function_type)``, inside compiled code: the function at an address."""


def room_for(value_type: types.Type) -> np.ndarray:
    """Memory for the native form of a value, to `store` it in and `load` it from."""
    context = cpu_target.target_context
    size = context.get_abi_sizeof(context.get_value_type(value_type))
    return np.zeros(-(-size // 8), dtype=np.int64)


@intrinsic
def _store(typing_context: Any, value: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Signature, args: Any) -> Any:
        native = _without_owners(context, builder, signature.args[0], args[0])
        builder.store(native, builder.inttoptr(args[1], native.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(value, types.int64), codegen


def _without_owners(context: Any, builder: Any, of: Any, value: Any) -> Any:
    """Native form of arrays, generators and tuples of these, without counts of references.

    The Python objects behind them stay known, for what PyTensor evaluates in Python.
    """
    if hasattr(of, "types"):
        members = cgutils.unpack_tuple(builder, value, len(of.types))
        bare = [_without_owners(context, builder, of.types[j], x) for j, x in enumerate(members)]
        return context.make_tuple(builder, of, bare)
    struct = cgutils.create_struct_proxy(of)(context, builder, value=value)
    struct.meminfo = cgutils.get_null_value(struct.meminfo.type)
    return struct._getvalue()


@intrinsic
def _load(typing_context: Any, address: Any, value_type: Any) -> Any:
    result = value_type.instance_type

    def codegen(context: Any, builder: Any, signature: Signature, args: Any) -> Any:
        native = context.get_value_type(result)
        return builder.load(builder.inttoptr(args[0], native.as_pointer()))

    return result(types.int64, value_type), codegen


store: Any = _store
"""``store(value, address)``, inside compiled code: keep the native form of arrays, a generator, or
a tuple of these. Their owners must outlive it: what is stored owns nothing."""

load: Any = _load
"""``load(address, value_type)``, inside compiled code: what was stored."""
