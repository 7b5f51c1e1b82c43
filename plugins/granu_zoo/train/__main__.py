"""The command line of the recipes."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from granu_zoo.train.check import check
from granu_zoo.train.classifiers import RECIPES, train_classifier
from granu_zoo.train.stylegan import Settings, train_stylegan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m granu_zoo.train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stylegan = commands.add_parser("stylegan-mnist", help="train the class-conditional generator of digits")
    stylegan.add_argument("--images", type=int, default=Settings.images, help="real pictures shown in all")
    stylegan.add_argument("--seed", type=int, default=1)
    for name, recipe in RECIPES.items():
        command = commands.add_parser(name, help=f"train a classifier: {recipe.architecture}, {recipe.summary}")
        command.add_argument("--seed", type=int, default=recipe.seed)
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, required=True, help="folder for weights, logs, checkpoints")
    commands.add_parser("check", help="measure the weights that come with granu")
    for command in commands.choices.values():
        command.add_argument("--data", type=Path, required=True, help="folder with MNIST as parquet files")
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    if arguments.command == "check":
        check(arguments.data)
    elif arguments.command == "stylegan-mnist":
        settings = Settings(images=arguments.images)
        train_stylegan(arguments.data, arguments.out, arguments.seed, settings)
    else:
        train_classifier(arguments.command, arguments.data, arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
