"""Numbers of pixels and times: sparse-pixel beside SparseFool as published, torchattacks' SparseFool and sigma-zero.

All methods get the same correctly classified images and the same classifier with frozen parameters. Passes are counted
by a layer around the classifier, not by the methods; every result is quantized to 8 bits and judged again. Times are
CPU seconds on one thread, which hardly depend on what else runs. torchattacks works on one image at a time and may take
minutes for one: an image that is not done after --limit seconds counts as not fooled, with that time. It compares the
boundaries of all classes; `torchattacks-10` gives it only the ten classes ranked highest at the clean image, which
saves 99 of 100 backward passes on ImageNet.

    pip install 'granu[benchmarks]'
    python examples/sparse_pixel_benchmark.py --classifier zoo:mnist-cnn --data parquet:mnist-test.parquet --count 100
"""

from __future__ import annotations

import argparse
import resource
import signal
import time
from collections.abc import Callable

import torch
from counting import Counted
from torch import Tensor, nn

from granu import Batch, BuildContext, Classifier, Criterion, ImageEvidence, Streams, load_catalog, quantize
from granu.runs.sources import DatasetSource, match_classes

PUBLISHED = "sparse-pixel:solver=l1,lambda=3,classes=9,prune=0,refine=0"
METHODS = ("sparse-pixel", "sparse-pixel:solver=l0", PUBLISHED, "torchattacks", "torchattacks-10", "sigma-zero")


def main() -> None:
    asked = read_arguments()
    torch.set_num_threads(1)
    context = BuildContext(load_catalog())
    classifier = context.build("classifier", asked.classifier)
    images, labels, ids = correct_images(context, classifier, asked)
    print(f"{len(images)} images of {'x'.join(map(str, images.shape[1:]))}, one thread, batches of {asked.batch}")
    print(f"{'method':62} fooled  pixels: median (mean) features: median (mean)  passes forward+backward  s/image")
    for method in asked.method or METHODS:
        counted = Counted(classifier)
        attack = make_attack(context, method, counted, ids, asked.limit)
        size = 1 if method.startswith("torchattacks") else asked.batch
        start = time.process_time()
        changed = torch.cat([attack(x, y) for x, y in zip(images.split(size), labels.split(size), strict=True)])
        report(method, classifier, images, labels, changed, counted, time.process_time() - start)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--classifier", default="zoo:mnist-cnn")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--limit", type=int, default=600, help="processor seconds for one image of torchattacks")
    parser.add_argument("--method", action="append", help=f"one or several of: {', '.join(METHODS)}")
    return parser.parse_args()


def correct_images(
    context: BuildContext, classifier: Classifier, asked: argparse.Namespace
) -> tuple[Tensor, Tensor, list[str]]:
    """The first `count` images of the seeded sample that are classified correctly, of one shape."""
    source = DatasetSource(context.build("dataset", asked.data), seed=0, device="cpu")
    numbers = match_classes(source, classifier, asked.data, asked.classifier)
    chosen: list[tuple[Tensor, Tensor, str]] = []
    for position in range(len(source)):
        for batch in source.batches([position]):
            assert isinstance(batch, Batch), batch.reason
            label = batch.labels if numbers is None else numbers[batch.labels]
            if (not chosen or chosen[0][0].shape == batch.images.shape) and classifier(batch.images).argmax(1) == label:
                chosen.append((batch.images, label, batch.ids[0]))
        if len(chosen) == asked.count:
            break
    images, labels, ids = zip(*chosen, strict=True)
    return torch.cat(images), torch.cat(labels), list(ids)


Attack = Callable[[Tensor, Tensor], Tensor]


def make_attack(context: BuildContext, method: str, counted: Counted, ids: list[str], limit: int) -> Attack:
    """A function from images and labels to changed images."""
    if method.startswith("torchattacks"):
        return within(limit, few_classes(counted, 10) if method.endswith("-10") else all_classes(counted))
    if method == "sigma-zero":
        from adv_lib.attacks.sigma_zero import sigma_zero

        return lambda images, labels: sigma_zero(counted, images, labels)
    perturbation = context.build("perturbation", method)
    left = iter(ids)

    def ours(images: Tensor, labels: Tensor) -> Tensor:
        batch = Batch(images, labels, tuple(next(left) for _ in images))
        proposal = perturbation.perturb(counted, batch, Criterion(labels), Streams(0, batch.ids))
        assert isinstance(proposal.evidence, ImageEvidence)
        return proposal.evidence.images

    return ours


def all_classes(counted: Counted) -> Attack:
    """SparseFool of torchattacks with its defaults."""
    import torchattacks

    return torchattacks.SparseFool(counted.eval())


def few_classes(counted: Counted, count: int) -> Attack:
    """The same for one image at a time, on the logits of the `count` classes ranked highest at the clean image."""

    class Leading(nn.Module):
        def __init__(self, chosen: Tensor) -> None:
            super().__init__()
            self.counted, self.chosen = counted, chosen

        def forward(self, images: Tensor) -> Tensor:
            return self.counted(images)[:, self.chosen]

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            chosen = counted.classifier(images)[0].topk(count).indices
        import torchattacks

        return torchattacks.SparseFool(Leading(chosen).eval())(images, (chosen == labels).nonzero()[0])

    return attack


def within(seconds: int, attack: Attack) -> Attack:
    """The attack; the clean images if it is not done in time."""

    def stopped(images: Tensor, labels: Tensor) -> Tensor:
        def time_out(signal_number: int, frame: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGPROF, time_out)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            return attack(images, labels)
        except TimeoutError:
            return images
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    return stopped


def report(
    method: str,
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    changed: Tensor,
    counted: Counted,
    seconds: float,
) -> None:
    with torch.no_grad():
        fooled = torch.cat([classifier(x) for x in quantize(changed).split(10)]).argmax(1) != labels
    differ = quantize(changed) != images
    pixels, features = differ.any(1).flatten(1).sum(1)[fooled], differ.flatten(1).sum(1)[fooled]
    count = len(images)
    passes = f"{counted.forward_passes / count:.1f}+{counted.backward_passes / count:.1f}"
    print(
        f"{method:62} {100 * fooled.float().mean():5.1f}% {summary(pixels):>22} {summary(features):>24} "
        f"{passes:>24} {seconds / count:10.3f}",
        flush=True,
    )


def summary(counts: Tensor) -> str:
    if not len(counts):
        return "-"
    return f"{counts.float().quantile(0.5):.0f} ({counts.float().mean():.1f})"


if __name__ == "__main__":
    main()
