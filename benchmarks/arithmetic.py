"""The arithmetic that benchmarks train in: bfloat16, which takes a third of the time where a CPU has it."""

import torch

from fedvoxel.errors import ConfigError


def has_bfloat16() -> bool:
    """Whether runs train in bfloat16 on this machine's CPU, as `training.cpu_bfloat16` asks."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def require_bfloat16() -> None:
    """Checks that a run made here can stand beside the others.

    Raises:
        ConfigError: It cannot.
    """
    if not has_bfloat16():
        raise ConfigError(
            "the runs train in bfloat16, for which this CPU has no arithmetic (AVX-512 BF16); --any-cpu trains in "
            "float32, takes three times as long, and the tables say which runs are so"
        )
