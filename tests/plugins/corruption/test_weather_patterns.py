"""The perturbation `weather`: fog and snow whose pattern is searched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from granu import Batch, BuildContext, Criterion, LInfSpace, OptionError, Streams, load_catalog
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.search.options import WorstOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.testing import contracts, tiny
from granu_corruption.patterns import LAYERS, SnowSpace, Weather, streaks
from granu_corruption.plasma import displaced, plasma

NAMES = ("fog", "snow")


def open_space(name: str, clean: Tensor, ids: tuple[str, ...] | None = None) -> LInfSpace:
    ids = ids or tuple(map(str, range(len(clean))))
    batch = Batch(clean, torch.zeros(len(clean), dtype=torch.int64), ids)
    return Weather(name).open(tiny.tiny_linear_classifier(), batch, Streams(0, ids))


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 20, 33), (2, 3, 1, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_the_space_keeps_the_contract_at_any_size(name: str, shape: tuple[int, ...]) -> None:
    batch = Batch(noise(*shape), torch.zeros(shape[0], dtype=torch.int64), tuple(map(str, range(shape[0]))))
    classifier = lambda images: images.flatten(1)[:, :2]  # noqa: E731
    contracts.check_space_factory(Weather(name), classifier, batch)  # type: ignore[arg-type]
    space = Weather(name).open(classifier, batch, Streams(0, batch.ids))  # type: ignore[arg-type]
    assert torch.equal(space.images(space.start()), batch.images)


@pytest.mark.parametrize("name", NAMES)
def test_worst_finds_what_fools_and_keeps_the_budget(name: str) -> None:
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch(6)
    batch = replace(batch, labels=classifier(batch.images).argmax(1))
    options = WorstOptions(budget=0.6, effort="quick")
    searched = SearchedPerturbation(Weather(name), make_search("worst", options))
    contracts.check_perturbation(searched, classifier, batch)
    proposal = searched.perturb(classifier, batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert (proposal.size <= 0.6 + 1e-6).all()
    images = proposal.evidence.images  # type: ignore[union-attr]
    assert (images >= batch.images - 1e-6).all()  # white only brightens
    assert (classifier(images).argmax(1) != batch.labels).any()


def test_fog_of_one_opacity_is_a_veil_of_that_opacity() -> None:
    clean = noise(2, 3, 12, 20)
    space = open_space("fog", clean)
    changed = space.images(torch.full((2, space.dimension), 0.4))
    torch.testing.assert_close(changed, clean + 0.4 * (1 - clean))


def test_fog_is_nowhere_more_opaque_than_its_size_and_varies() -> None:
    space = open_space("fog", torch.zeros(3, 1, 32, 32))
    veil = space.images(space.draw(torch.full((3,), 0.5), Streams(0, ("a", "b", "c"))))
    assert (veil <= 0.5 + 1e-6).all() and (veil.flatten(1).std(dim=1) > 0.01).all()


def test_fog_is_smooth_up_to_its_finest_displacements() -> None:
    space = open_space("fog", torch.zeros(1, 1, 32, 32))
    coarse, fine = torch.zeros(2, 1, *space.shape)
    coarse[..., 16, 16], fine[..., 15, 15] = 1.0, 1.0
    wide, narrow = (space.images(change.flatten(1)) for change in (coarse, fine))
    assert (wide > 0).sum() > 400 and (narrow > 0).sum() == 5  # itself, and its four neighbours' means
    assert wide.max() > 10 * narrow.max()


def test_displacements_are_linear_and_never_below_zero() -> None:
    decay = torch.tensor([2.0, 1.5])
    one, other = noise(2, 2, 16, 16)
    torch.testing.assert_close(displaced(one + 3 * other, decay), displaced(one, decay) + 3 * displaced(other, decay))
    assert (displaced(one, decay) >= 0).all()


def test_fractals_of_a_seed_stay_what_they_are() -> None:
    """Runs of `corruption:fog` that are resumed depend on them."""
    field = plasma(torch.Size((6, 7)), torch.tensor([2.0, 1.5]), Streams(0, ("a", "b")))[:, 0, ::5, ::3]
    expected = (
        [[0.7436, 0.1917, 0.5238], [0.2911, 0.6488, 0.6264]],
        [[0.4337, 0.1981, 0.2951], [0.0532, 0.3971, 0.2907]],
    )
    torch.testing.assert_close(field, torch.tensor(expected), atol=1e-4, rtol=0)


def test_each_flake_is_as_opaque_as_its_coordinate() -> None:
    space = open_space("snow", torch.zeros(1, 1, 64, 64))
    assert isinstance(space, SnowSpace) and space.counts == [25, 64, 144]
    for number in (12, 25 + 30, 25 + 64 + 70):  # one in the middle of each layer
        change = space.start()
        change[:, number] = 0.4
        veil = space.images(change)
        assert veil.max() == pytest.approx(0.4, abs=1e-3)
        place = int(space.places[0, number])
        assert veil[0, 0, place // 64, place % 64] > 0.15  # on the streak


def test_near_flakes_are_longer_and_all_fall_one_way() -> None:
    kernels = streaks(100, torch.tensor([-90.0]))[0]  # (L, k, k)
    lengths = [(kernel.amax(dim=1) > 0.2).sum().item() for kernel in kernels]
    widths = [(kernel.amax(dim=0) > 0.2).sum().item() for kernel in kernels]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == len(LAYERS)
    assert all(length > 1.3 * width for length, width in zip(lengths, widths, strict=True))


def test_flakes_lie_in_their_cells_and_differ_between_images() -> None:
    space = open_space("snow", torch.zeros(2, 1, 40, 40))
    assert isinstance(space, SnowSpace)
    first = space.places[:, :25]  # 5 x 5 cells of 8 pixels
    cells = first // 40 // 8 * 5 + first % 40 // 8
    assert torch.equal(cells, torch.arange(25).expand(2, -1))
    assert not torch.equal(space.places[0], space.places[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_small_differences(name: str) -> None:
    clean = (0.2 + 0.6 * noise(1, 1, 6, 6)).double()
    space = open_space(name, clean)
    if isinstance(space, SnowSpace):
        space.streaks = space.streaks.double()
    weights = torch.linspace(-1, 1, 36, dtype=torch.float64).view(1, 1, 6, 6)
    change = 0.05 + 0.1 * torch.rand(1, space.dimension, generator=torch.Generator().manual_seed(0)).double()
    assert torch.autograd.gradcheck(lambda c: (weights * space.images(c)).sum(), change.requires_grad_())


def test_without_a_name_it_says_what_to_type() -> None:
    catalog = load_catalog()
    with pytest.raises(OptionError, match="weather:fog, weather:snow or weather:all"):
        make_plan(catalog, BuildContext(catalog), Request(("weather",), data="stylegan"), {})
