"""Cost of a step of adversarial training, and of one of gat, beside the cost of its passes alone.

The passes alone are as many forward passes and gradients of the image in evaluation mode as the attack has steps, and
one forward and backward pass in training mode, on the same batch: no random start, no projection, no streams. Those of
gat are through the generator too, and it also draws its images, classifies them unchanged, draws them changed, and
trains on both halves. The two are timed alternately, and the ratio of medians is printed, since a busy machine slows
both alike.

    python examples/attack_cost.py [--classifier zoo:mnist-cnn] [--batch 128] [--steps 10] [--rounds 7] [--device cpu]
        [--generator stylegan]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from timing import medians_in_turn
from torch import Tensor
from torch.nn import functional as F

from granu import BuildContext, Defense, DrawingGenerator, ImageClassifier, Streams, TrainingStep, load_catalog

Passes = Callable[[Tensor, Tensor], None]  # of images and labels
CLASSIFIERS = ("zoo:mnist-cnn", "zoo:mnist-judge-resnet", "zoo:cifar10-resnet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", action="append", help=f"default: {', '.join(CLASSIFIERS)}")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--generator", help="time gat on this generator instead of attacks on pixels")
    arguments = parser.parse_args()
    context = BuildContext(load_catalog(), device=arguments.device)
    print(f"{'classifier':24} {'perturbation':12} {'passes alone':>12} {'whole step':>12} {'ratio':>6}")
    for name in arguments.classifier or CLASSIFIERS:
        classifier = context.build("classifier", name).to(arguments.device).train()
        for what, defense, passes in compared(context, classifier, arguments):
            alone, step = compare(classifier, defense, passes, arguments)
            print(f"{name:24} {what:12} {alone * 1e3:9.1f} ms {step * 1e3:9.1f} ms {step / alone:6.3f}")


def compared(
    context: BuildContext, classifier: ImageClassifier, arguments: argparse.Namespace
) -> Iterator[tuple[str, Defense, Passes]]:
    """Each defense with a name, and its passes written out."""
    steps = arguments.steps
    if arguments.generator is None:
        for norm, budget in (("linf", 0.03), ("l2", 0.5)):
            spec = f"adversarial:pixel:{norm},budget={budget},steps={steps}"
            yield f"pixel:{norm}", context.build("defense", spec), partial(written_out, classifier, steps=steps)
        return
    gat = context.build("defense", f"gat:{arguments.generator},steps={steps},freeze=no")
    spaces = gat.perturbation.spaces
    sites = [site.name for site in spaces.sites]
    name = f"gat {arguments.generator.partition(':')[0]}"
    yield name, gat, partial(gat_written_out, classifier, spaces.generator, sites, steps=steps)


def compare(
    classifier: ImageClassifier, defense: Defense, passes: Passes, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Median seconds of the passes alone and of the whole step."""
    noise = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.batch, classifier.channels or 3, 32, 32, generator=noise).to(arguments.device)
    labels = torch.randint(len(classifier.classes), (arguments.batch,), generator=noise).to(arguments.device)
    images = images.contiguous(memory_format=torch.channels_last)
    ids = [f"image{i}" for i in range(arguments.batch)]

    def whole_step() -> None:
        streams = Streams(0, ids, "train", arguments.device)
        defense.loss(TrainingStep(classifier, images, labels, streams, 0, progress=0.5)).backward()

    return medians_in_turn(lambda: passes(images, labels), whole_step, arguments.rounds, arguments.device)


def written_out(classifier: ImageClassifier, images: Tensor, labels: Tensor, *, steps: int) -> None:
    """The passes of one step of adversarial training."""
    classifier.eval()
    for _ in range(steps):
        x = images.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(classifier(x), labels, reduction="sum"), x)
    classifier.train()
    F.cross_entropy(classifier(images), labels).backward()


def gat_written_out(
    classifier: ImageClassifier,
    generator: DrawingGenerator,
    sites: Sequence[str],
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
) -> None:
    """The passes of one step of gat; the generator runs from its beginning twice, and once from the sites."""
    with torch.no_grad():
        latent = generator.draw(Streams(0, [str(i) for i in range(len(labels))], device=str(labels.device)), labels)
        drawn = generator.tail(latent, ["image"])({}).clamp(0, 1)
        tail = generator.tail(latent, sites)
    zero = {site: torch.zeros_like(tail.clean[site]) for site in sites}
    classifier.eval()
    classifier(drawn)
    for _ in range(steps):
        edits = {site: value.detach().requires_grad_() for site, value in zero.items()}
        torch.autograd.grad(F.cross_entropy(classifier(tail(edits)), labels, reduction="sum"), list(edits.values()))
    with torch.no_grad():
        changed = tail(zero).clamp(0, 1)
    classifier.train()
    (F.cross_entropy(classifier(images), labels) + F.cross_entropy(classifier(changed), labels)).backward()


if __name__ == "__main__":
    main()
