"""StyleGAN2 as a generator: sites coarse to fine, exact tails, independent images."""

from pathlib import Path

import pytest
import torch

from granu import WeightsError
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.streams import Streams
from granu.testing import check_generator, check_import_without_torch
from granu.weights.checkpoints import WeightsHeader, save_weights
from granu_stylegan import StyleGANOptions
from granu_stylegan.generator import StyleGANGenerator
from granu_stylegan.layout import list_sites
from granu_stylegan.loading import make_generator, sites_of_weights
from granu_stylegan.stylegan2 import StyleGAN2

CONFIG = {
    "z_dim": 6,
    "c_dim": 3,
    "w_dim": 8,
    "img_resolution": 16,
    "img_channels": 1,
    "mapping_layers": 2,
    "channel_base": 64,
    "channel_max": 8,
    "conv_clamp": None,
}
CLASSES = ("a", "b", "c")
LABELS = torch.tensor([0, 1, 2, 2])
SITES = [site.name for site in list_sites(CONFIG)]


def make_network(**changes: int) -> StyleGAN2:
    torch.manual_seed(0)
    network = StyleGAN2(**{**CONFIG, **changes})  # type: ignore[arg-type]
    for layer in network.layers:
        torch.nn.init.constant_(layer.noise_strength, 0.3)
    return network


@pytest.fixture(scope="module")
def generator() -> StyleGANGenerator:
    return StyleGANGenerator(make_network(), list_sites(CONFIG), CLASSES, truncation=0.7, fingerprint="tiny")


def streams(count: int = 4) -> Streams:
    return Streams(0, [str(i) for i in range(count)])


def test_the_generator_keeps_the_contract(generator: StyleGANGenerator) -> None:
    check_generator(generator)


def test_the_plugin_module_does_not_import_torch() -> None:
    check_import_without_torch("granu_stylegan")


def test_sites_run_from_coarse_to_fine() -> None:
    names = [site.name for site in list_sites(CONFIG)]
    assert names == [
        *("z", "w"),
        *(f"style{i}" for i in range(5)),
        *(f"noise{i}" for i in range(5)),
        *(f"layer{i}" for i in range(5)),
        "image",
    ]


@pytest.mark.parametrize("name", SITES)
def test_zero_edit_changes_nothing(generator: StyleGANGenerator, name: str) -> None:
    latent = generator.draw(streams(), LABELS)
    whole = generator.tail(latent, ["image"]).clean["image"]
    tail = generator.tail(latent, [name])
    shape = next(site.shape for site in generator.sites() if site.name == name)
    assert tail.clean[name].shape == (4, *shape)
    assert torch.equal(tail({}), whole)
    assert torch.equal(tail({name: torch.zeros(4, *shape)}), whole)


@pytest.mark.parametrize("name", SITES)
def test_every_edit_reaches_the_image(generator: StyleGANGenerator, name: str) -> None:
    tail = generator.tail(generator.draw(streams(), LABELS), [name])
    edit = torch.zeros_like(tail.clean[name]).requires_grad_()
    (slope,) = torch.autograd.grad(tail({name: edit}).square().sum(), edit)
    assert (slope.flatten(1).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("joined", ["layer1+layer3", "image+z", "noise2+style2+w", "layer0+style0"])
def test_a_tail_of_several_sites_equals_the_whole_generator(generator: StyleGANGenerator, joined: str) -> None:
    latent = generator.draw(streams(), LABELS)
    sites = joined.split("+")
    tail = generator.tail(latent, sites)
    edits = {site: torch.randn_like(tail.clean[site]) for site in sites}
    from_the_start = generator.tail(latent, ["z", *SITES[1:]])
    assert torch.equal(tail(edits), from_the_start(edits))


def test_a_tail_computes_only_the_steps_behind_its_site(generator: StyleGANGenerator) -> None:
    latent = generator.draw(streams(), LABELS)
    assert [step.name for step in generator.tail(latent, ["layer3"]).steps] == ["layer4", "rgb2", "image"]
    assert not generator.tail(latent, ["image"]).steps


def test_a_tail_refuses_sites_that_it_was_not_opened_for(generator: StyleGANGenerator) -> None:
    tail = generator.tail(generator.draw(streams(), LABELS), ["layer3"])
    with pytest.raises(ValueError, match="opened for layer3, not for layer0"):
        tail({"layer0": torch.zeros(())})


def test_an_image_does_not_depend_on_its_batch(generator: StyleGANGenerator) -> None:
    together = generator.tail(generator.draw(streams(4), LABELS), ["w"])
    alone = generator.tail(generator.draw(streams(1), LABELS[:1]), ["w"])
    torch.testing.assert_close(together({})[:1], alone({}))
    picked = torch.tensor([2, 0])
    torch.testing.assert_close(together.select(picked)({}), together({})[picked])
    reselected = generator.tail(generator.draw(streams(4), LABELS).select(picked), ["w"])
    torch.testing.assert_close(reselected({}), together({})[picked])


def test_an_unconditional_network_has_no_labels() -> None:
    network = make_network(c_dim=0)
    generator = StyleGANGenerator(network, list_sites(CONFIG | {"c_dim": 0}), (), truncation=1.0, fingerprint="")
    latent = generator.draw(streams(), None)
    assert latent.labels.tolist() == [-1] * 4
    assert generator.tail(latent, ["z"])({}).shape == (4, 1, 16, 16)


def test_noise_maps_are_own_stored_or_none() -> None:
    network = make_network()
    drawn = {
        mode: StyleGANGenerator(network, list_sites(CONFIG), CLASSES, 1.0, "", mode).draw(streams(2), LABELS[:2]).noises
        for mode in ("own", "stored", "none")
    }
    for i, own in enumerate(drawn["own"]):
        assert not torch.equal(own[0], own[1])
        assert torch.equal(drawn["stored"][i][0, 0], network.noise(i)) and torch.equal(*drawn["stored"][i])
        assert not drawn["none"][i].any()


def write(path: Path, state: dict[str, torch.Tensor] | None = None, **changes: object) -> StyleGANOptions:
    classes = CLASSES if changes.get("c_dim", 3) == 3 else ()
    save_weights(
        path,
        make_network().state_dict() if state is None else state,
        WeightsHeader("stylegan2", CONFIG | changes, classes),
    )
    return StyleGANOptions(weights=str(path))


def test_a_weights_file_loads_as_a_generator(tmp_path: Path, generator: StyleGANGenerator) -> None:
    options, context = write(tmp_path / "tiny.safetensors"), BuildContext(Catalog())
    opened = make_generator(options, context)
    assert list(opened.sites()) == list(sites_of_weights(options, context)) == list(generator.sites())
    assert opened.classes == CLASSES and opened.fingerprint.endswith("truncation 1.0")
    latent = generator.draw(streams(), LABELS)
    ours = StyleGANGenerator(generator.network, generator.layout, CLASSES, truncation=1.0, fingerprint="")
    torch.testing.assert_close(opened.tail(latent, ["z"])({}), ours.tail(latent, ["z"])({}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_dim": 9}, "of another shape"),
        ({"mapping_layers": 3}, "missing: mapping.fc2"),
        ({"img_resolution": 15}, "power of two"),
        ({"colour": 1}, "colour"),
        ({"c_dim": 4}, "0 classes for a network of 4"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    options = write(tmp_path / "odd.safetensors", **changes)
    with pytest.raises(WeightsError, match=message):
        make_generator(options, BuildContext(Catalog()))


def test_an_incomplete_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_weights(path, {}, WeightsHeader("stylegan2", {"c_dim": 3, "img_resolution": 16}, CLASSES))
    with pytest.raises(WeightsError, match="z_dim is missing"):
        sites_of_weights(StyleGANOptions(weights=str(path)), BuildContext(Catalog()))
