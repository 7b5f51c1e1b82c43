"""Peak memory of a gradient at the latent of an autoencoder, with and without gradient checkpointing; one image, CPU.

Without `--weights`, a network with random weights of the size of Stable Diffusion's AutoencoderKL is measured. Each
number is that of a process of its own; the time is that of the second of two gradients, in CPU seconds.

    python examples/autoencoder_memory.py --sizes 224 512
    python examples/autoencoder_memory.py --weights taef2 --sizes 224 512
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--sizes", nargs="+", default=["224", "512"])
    parser.add_argument("--measure", default=None, help=argparse.SUPPRESS)  # in the process of one measurement
    given = parser.parse_args()
    if given.measure:
        measure(given.weights, given.sizes[0], given.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = given.weights or save_random(Path(folder))
        print(f"{'size':>5} {'checkpoint':>10} {'peak MiB':>9} {'seconds':>8}")
        for size in given.sizes:
            for choice in ("no", "yes"):
                words = [__file__, "--weights", weights, "--sizes", size, "--measure", choice]
                subprocess.run([sys.executable, *words], check=True)


def save_random(folder: Path) -> str:
    """Save an AutoencoderKL with the channels of Stable Diffusion's and random weights."""
    from granu import without_broken_torchvision

    with without_broken_torchvision():
        import diffusers

        network = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    network.save_pretrained(folder)
    return str(folder)


def measure(weights: str, size: str, choice: str) -> None:
    """Print the peak memory of this process after two gradients, and the time of the second."""
    import torch

    from granu import BuildContext, Streams, load_catalog

    torch.set_num_threads(1)
    spec = f"autoencoder:weights={weights},size={size},checkpoint={choice}"
    generator = BuildContext(load_catalog()).build("generator", spec)
    images = torch.rand(1, *generator.sites()[-1].shape)
    code = generator.encode(images, torch.tensor([-1]), Streams(0, ["one"]))
    tail = generator.tail(code, ["latent"])
    for _ in range(2):
        start = time.process_time()
        edit = torch.zeros(1, *generator.sites()[0].shape, requires_grad=True)
        torch.autograd.grad(tail({"latent": edit}).square().sum(), edit)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(f"{size:>5} {choice:>10} {peak:>9.0f} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
