"""EM without machine code: compiling costs more than what these tests run."""

from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.link.vm import VMLinker

__all__ = ["interpreted"]


def interpreted():
    """Context in which what has no mode of its own is compiled for the interpreter."""
    mode = Mode(VMLinker(c_thunks=False), "fast_run").excluding("fusion", "inplace")
    return config.change_flags(mode=mode)
