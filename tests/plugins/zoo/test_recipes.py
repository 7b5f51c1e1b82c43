"""The recipes at small scale: configurations plan, training resumes exactly, stored weights load, checks measure."""

import copy
import io
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import granu_zoo
from granu import BuildContext, ImageClassifier, WeightsError, load_catalog
from granu.training.planning import make_request, make_train_plan
from granu.weights.checkpoints import read_weights_header
from granu_zoo import ARCHITECTURES, CLASSIFIERS
from granu_zoo.loading import load_classifier
from granu_zoo.networks import NETWORKS
from granu_zoo.train.check import check
from granu_zoo.train.data import read_images
from granu_zoo.train.discriminator import Discriminator, group_deviation
from granu_zoo.train.measure import accuracy, robust_accuracy
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


def architecture_of(name: str) -> str:
    """The architecture of shipped weights."""
    return read_weights_header(granu_zoo.FOLDER / f"{name}.safetensors", ARCHITECTURES).architecture


class Linear(nn.Module):
    """A linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 1024))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


@pytest.mark.parametrize("architecture", sorted({architecture_of(name) for name in CLASSIFIERS}))
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


RECIPES = sorted((Path(granu_zoo.__file__).parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_every_recipe_is_a_plan_that_trains_on_all_images(recipe: Path, tmp_path: Path) -> None:
    data = parquet_of(tmp_path, trained_on(recipe.stem), 200)
    given = {"data": f"parquet:{data}", "out": "out.safetensors"}
    context = BuildContext(load_catalog())
    plan = make_train_plan(context.catalog, context, make_request(given, recipe))
    assert str(plan.classifier.spec).endswith(",init=random") and len(plan.defenses) == 1
    assert plan.settings.hold_out == 0 and plan.settings.batch == 128 and plan.settings.rate == 0.003
    context.make(plan.defenses[0])


def test_every_shipped_classifier_has_a_recipe_of_its_architecture() -> None:
    recipes = {recipe.stem: tomllib.loads(recipe.read_text()) for recipe in RECIPES}
    assert recipes.keys() >= set(CLASSIFIERS)
    for name in CLASSIFIERS:
        header = read_weights_header(granu_zoo.FOLDER / f"{name}.safetensors", ARCHITECTURES)
        assert recipes[name]["classifier"] == f"zoo:{header.architecture},init=random"
        assert recipes[name]["seed"] == header.about["seed"]


def test_robust_accuracy_falls_with_the_budget_and_is_never_above_the_clean_one() -> None:
    network, images, context = Linear(), torch.rand(300, 1, 32, 32), BuildContext(load_catalog())
    classifier = ImageClassifier(network, MNIST.classes, channels=1, size=(32, 32))
    labels = classifier(images).argmax(dim=1)
    labels[:30] = (labels[:30] + 1) % 10
    assert accuracy(classifier, images, labels) == 0.9
    budgets = ("1e-6", "0.1", "5")
    rates = [robust_accuracy(classifier, images, labels, f"pixel:l2,budget={b},steps=5", context) for b in budgets]
    assert rates[0] == 0.9 > rates[1] > rates[2]


def test_the_check_measures_any_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet_of(tmp_path, MNIST, 6, "test")
    check(tmp_path, ["zoo:mnist-lenet"])
    head, titles, row = capsys.readouterr().out.splitlines()
    assert "under PGD-40" in head and titles.split()[:3] == ["classifier", "of", "6"]
    assert row.split()[0] == "zoo:mnist-lenet" and len(row.split()) == 6


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


def parquet_of(folder: Path, data: TrainedOn, count: int, part: str = "train") -> Path:
    """A parquet file of `count` images, white but for one pixel, as the datasets have them."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    png = io.BytesIO()
    side = 28 if data is MNIST else 32
    image = Image.new("RGB", (side, side), (255, 255, 255))
    image.putpixel((3, 5), (255, 0, 0))
    image.convert("L" if data is MNIST else "RGB").save(png, "PNG")
    labels = [(4, 0, 9)[number % 3] for number in range(count)]
    table = pyarrow.table({"image": [{"bytes": png.getvalue(), "path": "0.png"}] * count, "label": labels})
    file = folder / f"{data.name}-{part}.parquet"
    parquet.write_table(table, file)
    return file


@pytest.mark.parametrize(("data", "side"), [(MNIST, 28), (CIFAR10, 32)])
def test_images_are_read_and_digits_padded(data: TrainedOn, side: int, tmp_path: Path) -> None:
    parquet_of(tmp_path, data, 3, "test")
    images, labels = read_images(tmp_path, data, "test")
    assert labels.tolist() == [4, 0, 9] and images.shape == (3, data.channels, 32, 32)
    edge = (32 - side) // 2
    assert images[0, -1, 5 + edge, 3 + edge] < 255 == images[0, 0, 6 + edge, 3 + edge]
    assert (
        images[:, :, :edge].sum() == 0 and (images[:, :, edge : 32 - edge, edge : 32 - edge] > 0).float().mean() > 0.99
    )
