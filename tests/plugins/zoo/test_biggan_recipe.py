"""The BigGAN's recipe at small scale: training resumes exactly, and the stored weights load."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.streams import Streams
from granu_biggan import BigGANOptions, make
from granu_biggan.network import BigGAN
from granu_zoo.train import biggan
from granu_zoo.train.biggan import CONFIG, BigGANTraining, initialise, norms, with_standing_statistics
from granu_zoo.train.stylegan import Settings

SETTINGS = Settings(images=64, batch=16, report_every=32)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """Forty images of noise, four per class, in place of MNIST."""
    torch.manual_seed(0)
    images = torch.randint(256, (40, 1, 32, 32), dtype=torch.uint8), torch.arange(40) % 10
    monkeypatch.setattr(biggan, "read_images", lambda folder, data, part: images)
    monkeypatch.setattr(biggan, "STANDING", 2)
    return images


def test_a_resumed_training_equals_an_uninterrupted_one(digits: tuple[Tensor, Tensor]) -> None:
    run = BigGANTraining(digits, 1, SETTINGS)
    run.step()
    file = io.BytesIO()
    torch.save(run.state(), file)
    uninterrupted = run.step()
    file.seek(0)
    resumed = BigGANTraining(digits, 7, SETTINGS)
    resumed.restore(torch.load(file, weights_only=True))
    assert resumed.step() == pytest.approx(uninterrupted)
    torch.testing.assert_close(resumed.average.state_dict(), run.average.state_dict())


def test_standing_statistics_are_those_of_the_network() -> None:
    torch.manual_seed(0)
    network = initialise(BigGAN(CONFIG))
    before = norms(network)[0].mean.clone()
    averaged = with_standing_statistics(network, 3)
    assert torch.equal(norms(network)[0].mean, before) and not torch.equal(norms(averaged)[0].mean, before)
    z, labels = torch.randn(100, CONFIG.z_dim), torch.arange(100) % 10
    with torch.no_grad():
        averaged_image, batch_image = averaged(z, labels), network.train()(z, labels)
    assert (averaged_image - batch_image).abs().mean() < 0.1


def test_stored_weights_load_as_a_generator(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    path = biggan.train_biggan(tmp_path, tmp_path / "out", 1, SETTINGS)
    assert len((tmp_path / "out" / "log.txt").read_text().splitlines()) == 2
    generator = make(BigGANOptions(weights=str(path)), BuildContext(Catalog()))
    assert generator.classes == tuple("0123456789") and generator.truncation == 1.0
    latent = generator.draw(Streams(0, ["a", "b"]), torch.tensor([3, 4]))
    assert generator.tail(latent, ["layer2"])({}).shape == (2, 1, 32, 32)
    again = biggan.train_biggan(tmp_path, tmp_path / "out", 1, replace(SETTINGS, images=64))
    assert again == path  # nothing is left to train
