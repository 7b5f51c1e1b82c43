"""Brightness of the squares of a board laid over an image."""

from dataclasses import dataclass

import granu


@dataclass(frozen=True)
class Options:
    squares: int = granu.option(8, "squares along each side of the board", low=1, high=64)


def make(options, context):
    from torch.nn import functional as F

    class BoardSpace(granu.Space):
        unit = "brightness of a square (RMS)"
        largest = 1.0

        def images(self, change):
            board = change.view(-1, 1, options.squares, options.squares)  # (B, 1, n, n)
            return granu.clamp_for_descent(self.clean + F.interpolate(board, self.clean.shape[-2:]))

    class Checkers:
        unit = BoardSpace.unit

        def open(self, classifier, batch, noise):
            return BoardSpace(classifier, batch.images, options.squares**2)

    return Checkers()


@granu.hookimpl
def granu_perturbations():
    summary = "brightness of the squares of a board laid over the image"
    return [granu.PerturbationOffer(name="checkers", summary=summary, options=Options, target="squares", make=make)]
