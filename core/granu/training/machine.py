"""The hardware of a training: device, precision and processes, by Hugging Face accelerate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, distributed, nn

from granu.errors import OptionError
from granu.runs.devices import choose_device
from granu.training.batchnorm import WholeBatchStatistics

VARIABLE = "ACCELERATE_TORCH_DEVICE"  # names a device for accelerate


class Machine:
    """The device of this process and its place among the processes that train together."""

    def __init__(self, device: str, precision: str) -> None:
        from accelerate import Accelerator  # type: ignore[import-untyped]
        from accelerate.state import AcceleratorState  # type: ignore[import-untyped]

        alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
        if not alone and device not in ("auto", "cpu"):
            raise OptionError(f"--device {device} cannot be used by several processes; take --device auto or cpu")
        AcceleratorState._reset_state(reset_partial_state=alone)  # an earlier training in this process may have set it
        mixed = "bf16" if precision == "bfloat16" else "no"
        with _named_device(choose_device(device) if alone else None):
            self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed)
        self.device: torch.device = self.accelerator.device
        self.rank: int = self.accelerator.process_index
        self.count: int = self.accelerator.num_processes

    @property
    def main(self) -> bool:
        """True for the process that writes and prints."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Passes inside are computed in the precision of the training."""
        return self.accelerator.autocast()

    def whole_batch_statistics(self) -> AbstractContextManager[object]:
        """Batch normalisation inside takes its statistics over all processes."""
        return WholeBatchStatistics() if self.count > 1 else nullcontext()

    def share(self, batch: Sequence[int]) -> Sequence[int]:
        """This process's part of a batch that is divided equally."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        """Scale the gradients so that their common L2 norm is at most `norm`."""
        self.accelerator.clip_grad_norm_(parameters, norm)

    def average_gradients(self, parameters: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        """Replace gradients by their mean over the processes, and return the means of some numbers likewise.

        A parameter without gradient in some processes counts as zero there; without one in all it keeps none.
        """
        if self.count == 1:
            return list(numbers)
        present = [parameter.grad is not None for parameter in parameters]
        flat = torch.cat([
            *[(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters],
            torch.tensor([*map(float, present), *numbers], device=self.device),
        ])  # fmt: skip
        distributed.all_reduce(flat)
        flat /= self.count
        sizes = [parameter.numel() for parameter in parameters]
        *gradients, tail = flat.split([*sizes, len(present) + len(numbers)])
        means = tail.tolist()
        for parameter, gradient, anywhere in zip(parameters, gradients, means, strict=False):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if anywhere else None
        return means[len(present) :]

    def total(self, counts: Sequence[int]) -> list[int]:
        """Whole numbers summed over the processes."""
        if self.count == 1:
            return list(counts)
        summed = torch.tensor(counts, dtype=torch.int64, device=self.device)
        distributed.all_reduce(summed)
        return summed.tolist()

    def wait(self) -> None:
        """Return when every process has come here."""
        self.accelerator.wait_for_everyone()


def batch_on(device: torch.device, images: Tensor) -> Tensor:
    """8-bit images as (B, C, H, W) in [0, 1] on a device, channels last in memory."""
    return (images.to(device).float() / 255).contiguous(memory_format=torch.channels_last)


@contextmanager
def _named_device(name: str | None) -> Iterator[None]:
    """Name a device for accelerate by its environment variable, unless a person set that."""
    if name is None or name == "cpu" or VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[VARIABLE]
