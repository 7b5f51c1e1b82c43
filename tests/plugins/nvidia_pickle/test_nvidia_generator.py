"""A .pkl of NVIDIA's as a generator."""

from pathlib import Path

import pytest
import torch
from nvidia_files import GOLDEN, Golden, network_pickle

from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.streams import Streams
from granu.testing import check_generator
from granu_stylegan import StyleGANOptions, make, sites
from granu_stylegan.generator import StyleGANGenerator


@pytest.fixture(params=GOLDEN)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.pkl"
    path.write_bytes(network_pickle(Golden(request.param)))
    return path


@pytest.fixture
def generator(file: Path) -> StyleGANGenerator:
    return make(StyleGANOptions(weights=str(file)), BuildContext(Catalog()))


def test_it_keeps_the_contract(generator: StyleGANGenerator) -> None:
    check_generator(generator, count=2)


def test_sites_have_the_listed_shapes(generator: StyleGANGenerator, file: Path) -> None:
    listed = sites(StyleGANOptions(weights=str(file)), BuildContext(Catalog()))
    assert list(generator.sites()) == list(listed)
    names = [site.name for site in listed]
    labels = torch.tensor([1, 0]) if generator.classes else None
    clean = generator.tail(generator.draw(Streams(0, ["a", "b"]), labels), names).clean
    assert {name: tuple(x.shape[1:]) for name, x in clean.items()} == {site.name: site.shape for site in listed}


def test_listing_its_sites_needs_no_torch(file: Path, run_python) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys, granu_stylegan as s; from granu import BuildContext; from granu.plugins.catalog import Catalog;"
        f"s.sites(s.StyleGANOptions(weights={str(file)!r}), BuildContext(Catalog())); assert 'torch' not in sys.modules"
    )
    assert run_python(code).returncode == 0


@pytest.mark.parametrize("variant", ["stylegan3-t", "stylegan3-r"])
def test_summaries_of_stylegan3_state_how_much_wider_a_layer_is(variant: str, tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(network_pickle(Golden(variant)))
    by_name = {site.name: site for site in sites(StyleGANOptions(weights=str(path)), BuildContext(Catalog()))}
    assert list(by_name)[:3] == ["z", "w", "input"] and list(by_name)[-2:] == ["layer5", "image"]
    assert by_name["layer3"].shape == (32, 84, 84)
    assert "10 samples wider than the image" in by_name["layer3"].summary
    assert by_name["layer5"].shape == (16, 64, 64)


def test_an_edit_of_w_changes_the_fourier_features(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    golden = Golden("stylegan3-t")
    path.write_bytes(network_pickle(golden))
    generator = make(StyleGANOptions(weights=str(path)), BuildContext(Catalog()))
    latent = generator.draw(Streams(0, ["a"]), None)
    assert latent.labels.tolist() == [-1]  # it has no classes
    tail = generator.tail(latent, ["w"])
    delta = torch.full_like(tail.clean["w"], 0.1)
    network = generator.network
    whole = (network.synthesize(tail.clean["w"] + delta) + 1) / 2
    assert torch.equal(tail({"w": delta}), whole)
