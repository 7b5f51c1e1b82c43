"""The recipes at small scale: attacks keep their budget, training resumes exactly, stored weights load."""

import copy
import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from granu import WeightsError
from granu.weights.checkpoints import read_weights_header
from granu_zoo.loading import load_classifier
from granu_zoo.networks import NETWORKS
from granu_zoo.train.augment import AUGMENTATIONS, flip_and_shift
from granu_zoo.train.classifiers import RECIPES
from granu_zoo.train.discriminator import Discriminator, group_deviation
from granu_zoo.train.pgd import pgd, robust_accuracy
from granu_zoo.train.store import store
from granu_zoo.train.stylegan import Settings, StyleGANTraining
from granu_zoo.trained_on import CIFAR10, MNIST, TrainedOn, trained_on


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def digits() -> tuple[Tensor, Tensor]:
    """Forty images of noise, four per class."""
    return torch.randint(256, (40, 1, 32, 32), dtype=torch.uint8), torch.arange(40) % 10


class Linear(nn.Module):
    """A linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 1024))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


@pytest.mark.parametrize("architecture", sorted({recipe.architecture for recipe in RECIPES.values()}))
def test_stored_weights_load_as_a_classifier(architecture: str, tmp_path: Path) -> None:
    network = NETWORKS[architecture]().eval()
    data = trained_on(architecture)
    path = tmp_path / f"{data.name}-tiny.safetensors"
    store(network, path, architecture, {}, "a recipe", 3, {"clean accuracy": 0.5})
    images = torch.rand(4, data.channels, 32, 32)
    logits = load_classifier(path, "tiny")(images)
    torch.testing.assert_close(logits, network.half().float()(images), rtol=1e-3, atol=1e-4)
    about = read_weights_header(path, (architecture,)).about
    assert about["licence"] == data.licence and about["seed"] == 3 and about["log"] == {"clean accuracy": 0.5}


def test_digits_of_28_pixels_are_padded(tmp_path: Path) -> None:
    path = tmp_path / "mnist-tiny.safetensors"
    store(NETWORKS["mnist-cnn"](), path, "mnist-cnn", {}, "", 0, {})
    classifier = load_classifier(path, "tiny")
    small = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(classifier(small), classifier(nn.functional.pad(small, (2, 2, 2, 2))))


def test_a_header_with_unknown_arguments_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mnist-tiny.safetensors"
    store(NETWORKS["mnist-cnn"](), path, "mnist-cnn", {"colour": 3}, "", 0, {})
    with pytest.raises(WeightsError, match="does not describe a mnist-cnn"):
        load_classifier(path, "tiny")


def test_every_recipe_names_a_known_architecture() -> None:
    assert {recipe.architecture for recipe in RECIPES.values()} <= set(NETWORKS)


@pytest.mark.parametrize(("norm", "order"), [("l2", 2.0), ("linf", float("inf"))])
def test_pgd_stays_in_its_budget_and_raises_the_loss(norm: str, order: float) -> None:
    classifier, images, labels = Linear(), torch.rand(8, 1, 32, 32), torch.arange(8)
    attacked = pgd(classifier, images, labels, norm, 0.3, 10)
    assert (attacked - images).flatten(1).norm(p=order, dim=1).max() <= 0.3 + 1e-5
    assert attacked.min() >= 0 and attacked.max() <= 1
    loss = nn.functional.cross_entropy
    assert loss(classifier(attacked), labels) > loss(classifier(images), labels)


def test_robust_accuracy_falls_with_the_budget() -> None:
    classifier, images = Linear(), torch.rand(50, 1, 32, 32)
    labels = classifier(images).argmax(dim=1)
    rates = [robust_accuracy(classifier, images, labels, "l2", budget, steps=5) for budget in (1e-3, 0.1, 5.0)]
    assert rates[0] > rates[1] > rates[2]


@pytest.mark.parametrize("data", [MNIST, CIFAR10])
def test_augmented_images_keep_shape_and_range(data: TrainedOn) -> None:
    images = torch.rand(6, data.channels, 32, 32)
    moved = AUGMENTATIONS[data.name](images)
    assert moved.shape == images.shape and moved.min() >= 0 and moved.max() <= 1
    assert not torch.equal(moved, images)


def test_colour_channels_are_shifted_together() -> None:
    images = torch.rand(20, 1, 32, 32).expand(20, 3, 32, 32)
    moved = flip_and_shift(images)
    assert torch.equal(moved[:, 0], moved[:, 2])
    unmoved = ((moved == images) | (moved == images.flip(-1))).flatten(1).all(1)
    assert not unmoved.all()


def test_the_group_deviation_measures_the_variation_within_a_group() -> None:
    alike = torch.rand(1, 3, 4, 4).repeat(4, 1, 1, 1)
    deviation = group_deviation(torch.cat([alike, torch.rand(4, 3, 4, 4)]))[:, 0, 0, 0]
    assert deviation[:4].max() < 1e-3 < 0.1 < deviation[4:].min()


def test_the_discriminator_depends_on_the_class() -> None:
    discriminator, images = Discriminator(), torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(
            discriminator(images, torch.zeros(4).long()), discriminator(images, torch.ones(4).long())
        )


def test_a_resumed_training_equals_an_uninterrupted_one(digits: tuple[Tensor, Tensor]) -> None:
    settings = Settings(batch=8)
    run = StyleGANTraining(digits, 1, settings)
    run.step()
    file = io.BytesIO()
    torch.save(run.state(), file)
    uninterrupted = run.step()
    file.seek(0)
    resumed = StyleGANTraining(digits, 7, settings)
    resumed.restore(torch.load(file, weights_only=True))
    assert resumed.seen == 8
    assert resumed.step() == pytest.approx(uninterrupted)
    torch.testing.assert_close(resumed.average.state_dict(), run.average.state_dict())


def test_the_average_tracks_the_generator(digits: tuple[Tensor, Tensor]) -> None:
    run = StyleGANTraining(digits, 1, Settings(batch=8))
    before = copy.deepcopy(run.average.state_dict())
    run.step()
    assert not torch.equal(run.average.synthesis.b8.conv0.weight, before["synthesis.b8.conv0.weight"])
    assert not torch.equal(run.average.mapping.w_avg, before["mapping.w_avg"])


@pytest.mark.parametrize(("data", "side"), [(MNIST, 28), (CIFAR10, 32)])
def test_images_are_read_and_digits_padded(data: TrainedOn, side: int, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from granu_zoo.train.data import read_images

    png = io.BytesIO()
    image = Image.new("RGB", (side, side), (255, 255, 255))
    image.putpixel((3, 5), (255, 0, 0))
    image.convert("L" if data is MNIST else "RGB").save(png, "PNG")
    table = pyarrow.table({"image": [{"bytes": png.getvalue(), "path": "0.png"}] * 3, "label": [4, 0, 9]})
    parquet.write_table(table, tmp_path / f"{data.name}-test.parquet")
    images, labels = read_images(tmp_path, data, "test")
    assert labels.tolist() == [4, 0, 9] and images.shape == (3, data.channels, 32, 32)
    edge = (32 - side) // 2
    assert images[0, -1, 5 + edge, 3 + edge] < 255 == images[0, 0, 6 + edge, 3 + edge]
    assert (
        images[:, :, :edge].sum() == 0 and (images[:, :, edge : 32 - edge, edge : 32 - edge] > 0).float().mean() > 0.99
    )
