"""Command line of the generators' recipes, and of storing and checking weights that ship."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from granu_zoo.train.biggan import IMAGES as BIGGAN_IMAGES
from granu_zoo.train.biggan import train_biggan
from granu_zoo.train.check import check
from granu_zoo.train.diffusion import DiffusionSettings
from granu_zoo.train.guided import IMAGES as DIFFUSION_IMAGES
from granu_zoo.train.guided import train_diffusion
from granu_zoo.train.store import store_classifier
from granu_zoo.train.stylegan import Settings, train_stylegan

IMAGES = {"stylegan-mnist": Settings.images, "biggan-mnist": BIGGAN_IMAGES, "diffusion-mnist": DIFFUSION_IMAGES}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m granu_zoo.train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, images in IMAGES.items():
        generator = commands.add_parser(name, help="train a class-conditional generator of digits")
        generator.add_argument("--images", type=int, default=images, help="real images shown in the training in total")
        generator.add_argument("--seed", type=int, default=1)
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, required=True, help="folder for weights, logs, checkpoints")
    measured = commands.add_parser("check", help="measure the weights that come with granu, or other classifiers")
    measured.add_argument("--classifier", action="append", default=[], help="spec of a classifier to measure instead")
    measured.add_argument("--generator", action="append", default=[], help="spec of a generator to measure instead")
    kept = commands.add_parser("store", help="write a classifier that `granu train` made as weights that ship")
    kept.add_argument("--classifier", type=Path, required=True, help="file that `granu train` wrote")
    kept.add_argument("--out", type=Path, required=True, help="weights file, named like its recipe")
    for command in commands.choices.values():
        command.add_argument("--data", type=Path, required=True, help="folder with MNIST or CIFAR-10 as parquet files")
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    if arguments.command == "check":
        check(arguments.data, arguments.classifier, arguments.generator)
    elif arguments.command == "store":
        print(store_classifier(arguments.data, arguments.classifier, arguments.out))
    elif arguments.command == "diffusion-mnist":
        train_diffusion(arguments.data, arguments.out, arguments.seed, DiffusionSettings(images=arguments.images))
    else:
        train = train_stylegan if arguments.command == "stylegan-mnist" else train_biggan
        train(arguments.data, arguments.out, arguments.seed, Settings(images=arguments.images))


if __name__ == "__main__":
    main()
