"""A first look at granu from Python: attack a live model, evaluate two, compare them. About 20 seconds, offline.

Open it as a notebook (cells begin with `# %%`), or run it:

    python examples/notebook.py [FIGURE]

It prints, for a live network, the smallest L2 change of six digits and how many of twenty digits are robust to an
L-infinity budget; then the table of an evaluation of two classifiers at three granularities, their comparison, and the
first record for pandas. It draws the granularity profile into FIGURE (profile.png by default).
"""

# %% Digits from the generator that comes with granu, and a network; any torch.nn.Module will do.
import sys
from pathlib import Path

import torch

import granu

torch.set_num_threads(1)
context = granu.BuildContext(granu.load_catalog())
generator = context.build("generator", "stylegan")
network = context.build("classifier", "zoo:mnist-cnn").network

labels = torch.arange(10).repeat(2)
streams = granu.Streams(0, [f"digit#{i}" for i in range(len(labels))])
with torch.no_grad():
    images = generator.tail(generator.draw(streams, labels), ["image"])({}).clamp(0, 1)

# %% The smallest change of each image that makes the network wrong.
result = granu.attack(network, images[:6], labels[:6], "pixel:l2")
print(result)
print("sizes:", [round(size, 2) for size in result.sizes.tolist()])
print("predicted:", result.predicted.tolist())
print("images:", tuple(result.images.shape))

# %% Robust accuracy: an image is robust if no change of that size was found to fool the network.
result = granu.attack(network, images, labels, "pixel:linf,search=worst,budget=0.07")
correct = [trial for trial in result.trials if trial.counts]
print(f"robust to L-infinity 0.07: {len(correct) - int(result.found.sum())} of {len(correct)} images\n")

# %% Two classifiers, three granularities. With out="runs/mine" the run is kept in a folder and can be resumed.
run = granu.evaluate(
    ["stylegan:layer2", "stylegan:layer5", "stylegan:image"],
    classifiers={"standard": network, "L2-trained": "zoo:mnist-cnn-l2"},
    classes=generator.classes,
    count=12,
)
print(run.table())

# %% Do they differ? Image by image, on those that both classify correctly.
comparison = granu.compare(run, classifier="standard", versus="L2-trained")
print(f"\n{comparison.table()}\n")

# %% Plain records; pandas.DataFrame(run.to_dicts()) makes a data frame of them.
first = run.to_dicts()[0]
print({key: first[key] for key in ("classifier", "perturbation", "counted", "found", "unit")})

# %% The granularity profile, a matplotlib figure.
file = Path(sys.argv[1] if len(sys.argv) > 1 else "profile.png")
run.figure().savefig(file)
print(f"figure: {file}")
