"""StyleGAN3 against results of NVIDIA's implementation, and its equivariance."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from granu_stylegan.arguments import stylegan3_config
from granu_stylegan.filtered import downsample, lowpass_filter, upsample
from granu_stylegan.stylegan3 import StyleGAN3
from granu_stylegan.stylegan3_config import StyleGAN3Config

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of the range of the numbers compared


class Golden:
    """Weights, inputs and outputs of the original; activations hold every seventh sample from the third on."""

    def __init__(self, variant: str) -> None:
        path = HERE / f"stylegan3-{variant}.safetensors"
        self.tensors = load_file(path)
        with safe_open(path, "pt") as file:
            self.config = json.loads(file.metadata()["config"])
        prefix = "state."
        self.state = {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}

    def network(self) -> StyleGAN3:
        network = StyleGAN3(StyleGAN3Config(**stylegan3_config(self.config))).requires_grad_(False)
        network.load_state_dict(self.state, strict=True)
        return network

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


@pytest.fixture(scope="module", params=["t", "r"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the range."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / (theirs.max() - theirs.min())).item()


def test_every_layer_and_the_image_agree_with_the_original(golden: Golden) -> None:
    network = golden.network()
    w = network.mapping(golden["in.z"], None, 0.7)
    assert difference(w, golden["out.w_psi0.7"]) < TOLERANCE
    x = network.start(w)
    for i, name in enumerate(network.layer_names):
        x = network.layer(i, x, network.affine(i, w))
        assert difference(x[:1, :, 3::7, 3::7], golden[f"act.{name}"]) < TOLERANCE, name
    assert difference(network.finish(x), golden["out.image"]) < TOLERANCE


def test_computed_filters_equal_those_in_the_file(golden: Golden) -> None:
    designed = StyleGAN3(StyleGAN3Config(**stylegan3_config(golden.config))).state_dict()
    filters = [name for name in golden.state if name.endswith("_filter")]
    assert filters
    for name in filters:
        assert torch.allclose(designed[name], golden.state[name], atol=1e-7), name


def test_images_do_not_depend_on_their_batch(golden: Golden) -> None:
    network, z = golden.network(), golden["in.z"]
    alone = torch.cat([network(z[:1]), network(z[1:])])
    assert difference(network(z), alone) < 1e-5


def test_fourier_features_are_computed_in_full_precision(golden: Golden) -> None:
    network, z = golden.network(), golden["in.z"]
    w = network.mapping(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.start(w), network.start(w.float()))
        rough = network.synthesize(w).float()
    assert difference(rough, network.synthesize(w)) < 0.05


def test_a_shift_of_the_input_shifts_the_image() -> None:
    """An alias-free network is equivariant to translation, away from the borders."""
    golden = Golden("t")
    network, z = golden.network(), golden["in.z"][:1]
    still = network(z)
    shift = 8 / 64  # of the image, so exactly eight pixels
    network.get_buffer("synthesis.input.transform")[0, 2] = shift
    moved = network(z)
    # content moves left: sample x of the moved image was at x + 8; both borders are excluded
    assert difference(moved[..., 16:-24], still[..., 24:-16]) < 0.03
    assert difference(moved[..., 16:-24], still[..., 16:-24]) > 0.1


def test_resampling_preserves_low_frequencies() -> None:
    kernel = lowpass_filter(12, cutoff=16, half_width=8, rate=128)
    x = torch.sin(torch.arange(64) / 64 * 2 * torch.pi * 4).expand(1, 1, 64, 64)
    fine = upsample(x, kernel, 2, (6, 5))
    back = downsample(torch.nn.functional.pad(fine, (5, 6, 5, 6)), kernel, 2)
    assert fine.shape[-1] == 128
    assert difference(back[..., 16:-16, 16:-16], x[..., 16:-16, 16:-16]) < 0.02


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(ValueError, match="no argument blur"):
        stylegan3_config({"img_resolution": 64, "blur": 2})
