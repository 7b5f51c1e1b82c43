"""Peak memory of the smallest change at an early and at a late layer of BigGAN-deep-512, one image, on the CPU.

The network has its full width and random weights, which cost as much as trained ones. Each layer is measured in its own
process: drawing the image, measuring each neuron's standard deviation (over SAMPLES clean images), and the search (of
STEPS gradient steps; more of them take more time, not more memory).

    python examples/biggan_memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

SITES = ("layer1", "layer8", "layer12", "layer14")
SAMPLES, STEPS = 2, 3

# [grows, channels in, channels out] in units of 128, as in the config.json of BigGAN-deep-512
LAYERS = [
    *([False, 16, 16], [True, 16, 16], [False, 16, 16], [True, 16, 8], [False, 8, 8], [True, 8, 8], [False, 8, 8]),
    *([True, 8, 4], [False, 4, 4], [True, 4, 2], [False, 2, 2], [True, 2, 1], [False, 1, 1], [True, 1, 1]),
]
CONFIG = {
    "z_dim": 128,
    "channel_width": 128,
    "num_classes": 1000,
    "layers": LAYERS,
    "attention_layer_position": 8,
    "eps": 1e-4,
}


def main() -> None:
    print(f"{'site':8} {'shape':16} {'peak memory':>12} {'seconds per gradient pass':>26}")
    for site in SITES:
        subprocess.run([sys.executable, __file__, site], check=True)


def measure(site_name: str) -> None:
    import torch
    from torch import nn

    from granu import Criterion, ImageClassifier, Streams, clamp_for_descent, quantize
    from granu.search.options import SmallestOptions
    from granu.search.smallest import Smallest
    from granu.spaces.site_statistics import measure as measure_sites
    from granu.spaces.sites import SiteSpace
    from granu_biggan.generator import BigGANGenerator
    from granu_biggan.huggingface import config_from
    from granu_biggan.network import BigGAN

    torch.manual_seed(0)
    network = BigGAN(config_from(CONFIG)).eval().requires_grad_(False)
    generator = BigGANGenerator(network, tuple(map(str, range(1000))), range(1000), 0.4, "random")
    linear = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3 * 16 * 16, 1000))
    classifier = ImageClassifier(linear, generator.classes)
    (site,) = (site for site in generator.sites() if site.name == site_name)

    streams = Streams(0, ["one"])
    latent = generator.draw(streams, torch.tensor([292]))
    with torch.no_grad():
        tail = generator.tail(latent, [site.name])
        image = quantize(clamp_for_descent(tail({})))
    deviation = {site.name: measure_sites(generator, [site], 292, SAMPLES, "cpu")[site.name].deviation}
    space = SiteSpace(classifier, image, tail, [site], {site.name: deviation[site.name][None].clamp_min(1e-3)})
    criterion = Criterion(classifier(image).argmax(1))
    start = time.perf_counter()
    result = Smallest(SmallestOptions(steps=STEPS)).run(space, criterion, streams)
    seconds = (time.perf_counter() - start) / int(result.backward.sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{site.name:8} {' x '.join(map(str, site.shape)):16} {peak:8.2f} GiB {seconds:26.1f}", flush=True)


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
