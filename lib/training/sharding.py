"""A part of the model on each card: FSDP, where `accelerate config` asks for it.

A model that outgrows one card is trained by processes each of which holds a part of
every parameter, of its gradient and of the optimizer's state, and asks the others for
the rest layer by layer. In the memory of the machine each process keeps a whole model,
which is brought up to date where it is looked at and at the end.
"""

import os
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["full", "gather_into", "is_sharded", "like", "shard_on_cpu"]


def is_sharded() -> bool:
    """Whether this process is one of several that `accelerate launch` shards over."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    return asked and int(os.environ.get("WORLD_SIZE", "1")) > 1


def shard_on_cpu(accelerator: Any) -> None:
    """Let processes on CPUs shard too, which accelerate 1.15 leaves to GPUs.

    Raises
    ------
    ValueError
        If the first version of FSDP is asked for.
    """
    from accelerate import DistributedType, FullyShardedDataParallelPlugin

    state = accelerator.state
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
    if state.fsdp_plugin.fsdp_version != 2:
        raise ValueError(
            "fsdp_version is 1 and parts of it flatten what a checkpoint names; write "
            "fsdp_version: 2 in the file of accelerate config, or run accelerate "
            "config again"
        )
    state.fsdp_plugin.cpu_ram_efficient_loading = False  # it would part tied tables


def full(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process holds a part; every process has to ask."""
    parted = cast(Any, tensor)  # a DTensor, whose module is slow to import
    return parted.full_tensor().cpu() if hasattr(tensor, "full_tensor") else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor in parts where the other is; every process has to ask."""
    if not hasattr(other, "full_tensor") or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    parted = cast(Any, other)
    return distribute_tensor(tensor.to(other.device), parted.device_mesh,
                             parted.placements)


@torch.no_grad()
def gather_into(model: nn.Module, shards: nn.Module) -> None:
    """Copy what the processes hold in parts into a whole model."""
    for whole, part in zip(model.parameters(), shards.parameters(), strict=True):
        whole.copy_(full(part))
