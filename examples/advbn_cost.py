"""Cost of a step of AdvBN beside the cost of its forward and backward passes alone.

The passes alone are written out for a residual network cut behind its first block: one pass up to the cut, as many
passes behind it with the gradient of the features as the attack has steps, and two training passes behind it, on the
same batch. No statistics, no multipliers, no hooks. The two are timed alternately, and the ratio of medians is printed.

    python examples/advbn_cost.py [--batch 128] [--steps 6] [--rounds 7] [--device cpu]
"""

from __future__ import annotations

import argparse

import torch
from timing import medians_in_turn
from torch import Tensor, nn
from torch.nn import functional as F

from granu import BuildContext, ImageClassifier, Streams, TrainingStep, load_catalog

CLASSIFIER, CUT = "zoo:cifar10-resnet", "blocks.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(f"{'scope':8} {'passes alone':>12} {'whole step':>12} {'ratio':>6}")
    for scope in ("batch", "sample"):
        passes, step = compare(scope, arguments)
        print(f"{scope:8} {passes * 1e3:9.1f} ms {step * 1e3:9.1f} ms {step / passes:6.3f}")


def compare(scope: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Median seconds of the passes alone and of the whole step."""
    device = arguments.device
    context = BuildContext(load_catalog(), device=device)
    classifier, plain = (context.build("classifier", CLASSIFIER).to(device) for _ in range(2))
    defense = context.build("defense", f"advbn:{CUT},steps={arguments.steps},scope={scope}")
    defense.prepare(classifier.train())
    noise = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.batch, 3, 32, 32, generator=noise).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (arguments.batch,), generator=noise).to(device)
    ids = [f"image{i}" for i in range(arguments.batch)]

    def whole_step() -> None:
        streams = Streams(0, ids, "train", device)
        defense.loss(TrainingStep(classifier, images, labels, streams, 0, progress=0.5)).backward()

    def passes_alone() -> None:
        written_out(plain, images, labels, arguments.steps)

    return medians_in_turn(passes_alone, whole_step, arguments.rounds, device)


def written_out(classifier: ImageClassifier, images: Tensor, labels: Tensor, steps: int) -> None:
    """The passes of one step, for this network alone."""
    network = classifier.network
    front = nn.Sequential(network.stem, network.blocks[0]).eval()
    with torch.no_grad():
        features = front(classifier.normalized(images))

    def loss(features: Tensor) -> Tensor:
        return F.cross_entropy(network.head(network.blocks[1:](features).mean(dim=(2, 3))), labels)

    network.eval()
    for _ in range(steps):
        x = features.detach().requires_grad_()
        torch.autograd.grad(loss(x), x)
    network.train()
    (loss(features) + loss(features)).backward()


if __name__ == "__main__":
    main()
