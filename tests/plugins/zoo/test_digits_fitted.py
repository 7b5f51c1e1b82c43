"""The shipped generators encode digits of 28 x 28 pixels as the shipped classifiers fit them: padded."""

import pytest
import torch

from granu import quantize
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.encodings import Encoder


@pytest.mark.parametrize("name", ["stylegan", "biggan", "diffusion"])
def test_a_digit_is_encoded_as_classifiers_see_it(name: str) -> None:
    context = BuildContext(load_catalog())
    encoder = Encoder(context.build("generator", name), None, context.cache, context.device)
    digits = quantize(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    seen = context.build("classifier", "zoo:mnist-cnn").fitted(digits)
    assert torch.equal(encoder.prepare(digits), seen) and seen.shape == (2, 1, 32, 32)
