"""Results of the original BigGAN implementations, read from the files beside this one.

`bigganpytorch-*` come from ajbrock/BigGAN-PyTorch; `huggingface` from huggingface/pytorch-pretrained-BigGAN at
1e18aed, with tables of six rows and, as in its published weights, singular vectors that have converged. Under
`overflow.` it keeps the same network with random singular vectors: there the original's activations overflow and
are NaN from the attention on, so only the first four layers can be compared.
"""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of the range of the numbers compared


class Golden:
    """Weights (`state`), configuration, inputs and outputs of an original; random weights, float32, on a CPU.

    Feature maps larger than eight (Hugging Face: four) pixels hold every third pixel, from the second on.
    """

    def __init__(self, name: str) -> None:
        self.path = HERE / f"{name}.safetensors"
        self.tensors = load_file(self.path)
        with safe_open(self.path, "pt") as file:
            self.config = json.loads(file.metadata()["config"])
        self.state = self.under("state.")

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the range; `theirs` may be subsampled."""
    if ours.shape != theirs.shape:
        ours = ours[:, :, 1::3, 1::3]
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / (theirs.max() - theirs.min())).item()
