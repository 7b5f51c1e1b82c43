"""Cost of a step of adversarial training beside the cost of its forward and backward passes alone.

The passes alone are as many forward passes and gradients of the image in evaluation mode as the attack has steps, and
one forward and backward pass in training mode, on the same batch: no random start, no projection, no streams. The two
are timed alternately, and the ratio of medians is printed, since a busy machine slows both alike.

    python examples/attack_cost.py [--classifier zoo:mnist-cnn] [--batch 128] [--steps 10] [--rounds 7] [--device cpu]
"""

from __future__ import annotations

import argparse

import torch
from timing import medians_in_turn
from torch import Tensor
from torch.nn import functional as F

from granu import BuildContext, ImageClassifier, Streams, TrainingStep, load_catalog

CLASSIFIERS = ("zoo:mnist-cnn", "zoo:mnist-judge-resnet", "zoo:cifar10-resnet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", action="append", help=f"default: {', '.join(CLASSIFIERS)}")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    context = BuildContext(load_catalog(), device=arguments.device)
    print(f"{'classifier':24} {'perturbation':12} {'passes alone':>12} {'whole step':>12} {'ratio':>6}")
    for name in arguments.classifier or CLASSIFIERS:
        classifier = context.build("classifier", name).to(arguments.device).train()
        for norm, budget in (("linf", 0.03), ("l2", 0.5)):
            passes, step = compare(context, classifier, norm, budget, arguments)
            print(f"{name:24} pixel:{norm:6} {passes * 1e3:9.1f} ms {step * 1e3:9.1f} ms {step / passes:6.3f}")


def compare(
    context: BuildContext, classifier: ImageClassifier, norm: str, budget: float, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Median seconds of the passes alone and of the whole step."""
    noise = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.batch, classifier.channels or 3, 32, 32, generator=noise).to(arguments.device)
    labels = torch.randint(len(classifier.classes), (arguments.batch,), generator=noise).to(arguments.device)
    images = images.contiguous(memory_format=torch.channels_last)
    defense = context.build("defense", f"adversarial:pixel:{norm},budget={budget},steps={arguments.steps}")
    ids = [f"image{i}" for i in range(arguments.batch)]

    def whole_step() -> None:
        streams = Streams(0, ids, "train", arguments.device)
        defense.loss(TrainingStep(classifier, images, labels, streams, 0, progress=0.5)).backward()

    def passes_alone() -> None:
        written_out(classifier, images, labels, arguments.steps)

    return medians_in_turn(passes_alone, whole_step, arguments.rounds, arguments.device)


def written_out(classifier: ImageClassifier, images: Tensor, labels: Tensor, steps: int) -> None:
    """The passes of one step of adversarial training."""
    classifier.eval()
    for _ in range(steps):
        x = images.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(classifier(x), labels, reduction="sum"), x)
    classifier.train()
    F.cross_entropy(classifier(images), labels).backward()


if __name__ == "__main__":
    main()
