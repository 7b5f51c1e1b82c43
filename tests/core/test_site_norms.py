"""Norms and bands at a generator's sites: what a size means there, and that evaluation keeps results apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from granu import GranuError, Site, UnknownName
from granu.runs.run import read_run
from granu.spaces.bands import band_factors, band_of
from granu.spaces.base import PixelSpace, Space
from granu.spaces.samples import DrawnSamples
from granu.spaces.site_names import choose_sites
from granu.spaces.site_options import SiteOptions
from granu.spaces.site_statistics import StatisticsCache
from granu.spaces.sites import SiteCube, SitePerturbation
from granu.streams import Streams
from granu.testing import check_space_factory, tiny
from granu.testing.tiny import TinyGenerator

SITES = (
    Site("w", (64,)),
    Site("style0", (64,), resolution=4),
    Site("noise5", (1, 32, 32)),
    Site("noise3", (1, 16, 16)),
)


def perturbation_at(names: str, folder: Path, **options: Any) -> SitePerturbation:
    """The perturbation of the tiny generator at sites joined by a plus."""
    generator = TinyGenerator()
    statistics = StatisticsCache(DrawnSamples(generator, 20, "cpu"), generator.sites(), folder)
    return SitePerturbation(
        generator, choose_sites(generator.sites(), names, "tiny"), statistics, SiteOptions(**options)
    )


def space_at(names: str, folder: Path, **options: Any) -> Space:
    batch = tiny.tiny_batch(4)
    return perturbation_at(names, folder, **options).open(tiny.tiny_bent_classifier(), batch, Streams(0, batch.ids))


BANDS: list[tuple[Site, int, int]] = [
    (Site("z", (64,)), 32, 0),
    (Site("style", (64,), resolution=32), 32, 2),
    (Site("a", (1, 4, 4)), 32, 0),
    (Site("a", (1, 8, 8)), 32, 0),
    (Site("a", (1, 16, 16)), 32, 1),
    (Site("a", (1, 32, 32)), 32, 2),
    (Site("a", (1, 16, 16)), 1024, 0),
    (Site("a", (1, 128, 128)), 1024, 1),
    (Site("a", (1, 256, 256)), 1024, 2),
    (Site("a", (1, 52, 52)), 32, 2),  # a StyleGAN3's maps are wider than its images
    (Site("a", (1, 4, 4)), 4, 0),
]


@pytest.mark.parametrize(("site", "side", "band"), BANDS)
def test_bands_are_thirds_of_the_logarithmic_scale(site: Site, side: int, band: int) -> None:
    assert band_of(site, side) == band


@pytest.mark.parametrize(
    ("bands", "factors"),
    [
        ("", [1, 1, 1, 1]),
        ("4+2+1", [4, 4, 1, 2]),
        ("*:2", [2, 2, 2, 2]),
        ("w:3+noise*:6+*:0.5", [3, 0.5, 6, 6]),
        ("noise5:9+noise*:6+*:1", [1, 1, 9, 6]),
    ],
)
def test_bands_are_numbers_by_resolution_or_by_name(bands: str, factors: list[float]) -> None:
    found = band_factors(SITES, bands, 32, "x")
    assert [found[site.name] for site in SITES] == factors


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("4+2", "`x`: bands=4+2 is not three numbers; write it like bands=4+2+1"),
        ("4+2+0", "'0' in bands=4+2+0 is no positive number"),
        ("4+2+inf", "'inf' in bands=4+2+inf is no positive number"),
        ("style*:a+*:1", "'a' in bands=style*:a+*:1 is no positive number"),
        ("style*:1+w:1", "has no number for 'noise5'"),
        ("stile0:1+*:1", "there is no site named 'stile0' in `x`; did you mean 'style0'?"),
    ],
)
def test_wrong_bands_are_one_sentence(bands: str, message: str) -> None:
    with pytest.raises(GranuError) as raised:
        band_factors(SITES, bands, 32, "x")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_one_site_has_nothing_to_divide() -> None:
    with pytest.raises(GranuError, match="bands= divides a budget among joined sites"):
        band_factors(SITES[:1], "4+2+1", 32, "x")


def test_joined_wildcards_are_one_set_of_sites() -> None:
    sites = TinyGenerator().sites()
    assert [site.name for site in choose_sites(sites, "layer*+z", "tiny:x")] == ["z", "layer0", "layer1"]
    assert [site.name for site in choose_sites(sites, "layer1+layer*", "tiny:x")] == ["layer0", "layer1"]
    with pytest.raises(UnknownName, match="there is no site named 'style"):
        choose_sites(sites, "layer*+style*", "tiny:x")


@pytest.mark.parametrize("options", [{"norm": "linf"}, {"bands": "z:3+*:0.5"}, {"norm": "linf", "bands": "4+2+1"}])
def test_every_norm_keeps_the_contract(options: dict[str, str], tmp_path: Path) -> None:
    perturbation = perturbation_at("z+layer*", tmp_path, **options)
    check_space_factory(perturbation, tiny.tiny_bent_classifier(), tiny.tiny_batch())
    assert perturbation.unit != "sigma (RMS)"


@pytest.mark.parametrize("norm", ["rms", "linf"])
def test_direction_and_slope_are_dual(norm: str, tmp_path: Path) -> None:
    """Along the direction of size 1 the objective rises by the slope, and along no other change by more."""
    space = space_at("z+layer1", tmp_path, norm=norm)
    streams = Streams(0, [str(i) for i in range(4)])
    gradient = streams.scope("gradient").normal(space.dimension)
    direction = space.direction(gradient)
    torch.testing.assert_close(space.size(direction), torch.ones(4))
    torch.testing.assert_close((gradient * direction).sum(dim=1), space.slope(gradient))
    for number in range(20):
        other = space.draw(torch.ones(4), streams.scope(str(number)))
        assert ((gradient * other).sum(dim=1) <= space.slope(gradient)).all()


def test_the_cube_is_that_of_the_largest_number(tmp_path: Path) -> None:
    space, streams = space_at("layer1", tmp_path, norm="linf"), Streams(0, [str(i) for i in range(4)])
    assert isinstance(space, SiteCube)
    budget = torch.tensor([0.1, 0.2, 0.3, 0.4])
    change = streams.normal(space.dimension)
    torch.testing.assert_close(space.size(change), change.abs().amax(dim=1))
    torch.testing.assert_close(
        space.within(change, budget), torch.minimum(torch.maximum(change, -budget[:, None]), budget[:, None])
    )
    corner = space.draw(budget, streams)
    torch.testing.assert_close(corner.abs(), budget[:, None].expand_as(corner))
    assert 0.3 < float((corner > 0).float().mean()) < 0.7
    patch = space.patch(0.25, streams)
    assert set(patch.unique().tolist()) == {-1, 0, 1} and 0.1 < float(patch.abs().mean()) < 0.4


def test_a_band_is_worth_so_many_deviations(tmp_path: Path) -> None:
    plain, banded = (space_at("z+layer1", tmp_path, bands=bands) for bands in ("", "z:3+layer1:0.5"))
    change = Streams(0, [str(i) for i in range(4)]).normal(plain.dimension)
    stretched = torch.cat([3 * change[:, :4], 0.5 * change[:, 4:]], dim=1)
    torch.testing.assert_close(banded.images(change), plain.images(stretched))


@pytest.mark.parametrize(
    ("names", "options", "unit"),
    [
        ("z", {}, "sigma (RMS)"),
        ("z", {"norm": "linf"}, "sigma (L-infinity)"),
        ("z+layer1", {"norm": "linf", "bands": "4+2+1"}, "sigma (L-infinity, bands 4+2+1)"),
        ("z+layer1", {"bands": "4+2+1"}, "sigma (RMS, bands 4+2+1)"),
        ("image", {}, "pixel L2"),
        ("image", {"norm": "linf"}, "pixel L-infinity"),
    ],
)
def test_the_unit_says_how_a_size_is_measured(names: str, options: dict[str, str], unit: str, tmp_path: Path) -> None:
    assert perturbation_at(names, tmp_path, **options).unit == space_at(names, tmp_path, **options).unit == unit


def test_the_image_is_pixels_in_both_norms(tmp_path: Path) -> None:
    spaces = [space_at("image", tmp_path, norm=norm) for norm in ("rms", "linf")]
    assert [isinstance(space, PixelSpace) and space.norm for space in spaces] == ["l2", "linf"]


def test_evaluation_keeps_norms_apart(tiny_place: Path, granu: Callable[..., Any], tmp_path: Path) -> None:
    specs = ["tiny:layer1", "tiny:layer1,norm=linf", "tiny:z+layer*,bands=2+1+1", "tiny:z+layer*,bands=z:4+*:1"]
    words = [word for spec in specs for word in ("--perturb", f"{spec},search=pgd,budget=0.3,steps=3,samples=20")]
    out = tmp_path / "run"
    answer = granu("eval", *words, "--classifier", "tiny-classifier", "--count", "6", "--keep", "0", "--out", str(out))
    assert answer.returncode == 0, answer.stderr
    run = read_run(out)
    records = list(run.record.perturbations.values())
    assert [record.unit for record in records] == [
        "sigma (RMS)", "sigma (L-infinity)", "sigma (RMS, bands 2+1+1)", "sigma (RMS, bands z:4+*:1)",
    ]  # fmt: skip
    assert [dict(record.site_options) for record in records] == [
        {"samples": 20}, {"samples": 20, "norm": "linf"}, {"samples": 20, "bands": "2+1+1"},
        {"samples": 20, "bands": "z:4+*:1"},
    ]  # fmt: skip
    assert [site.name for site in records[2].sites] == ["z", "layer0", "layer1"]
    tried = {record.unit: {t.tried for t in run.trials if t.perturbation == record.key} for record in records}
    assert all(max(sizes) <= 0.3 * (1 + 1e-6) for sizes in tried.values())
    assert "sigma (L-infinity, " not in answer.stdout and "sigma (L-infinity)" in answer.stdout


def test_searches_agree_in_the_cube(tiny_place: Path, granu: Callable[..., Any], tmp_path: Path) -> None:
    """`smallest` finds a change, `worst` one of a little more and `pgd` nearly; a random one of that size does not."""
    searches = ["search=smallest,steps=60"]
    searches += [f"search={name},budget=BUDGET" for name in ("pgd,steps=20", "worst,effort=quick", "random")]

    def sizes(search: str) -> list[float | None]:
        out = tmp_path / search.replace(",", "-")
        words = ["--perturb", f"tiny:z+layer*,norm=linf,samples=20,{search}", "--classifier", "tiny-classifier"]
        answer = granu("eval", *words, "--count", "6", "--keep", "0", "--out", str(out))
        assert answer.returncode == 0, answer.stderr
        return [trial.size for trial in read_run(out).trials if trial.counts]

    smallest = sizes(searches[0])
    assert smallest and all(smallest)
    budget = 1.1 * max(filter(None, smallest))
    pgd, worst, random = (sum(map(bool, sizes(search.replace("BUDGET", f"{budget:.6f}")))) for search in searches[1:])
    assert worst == len(smallest) > random and pgd >= len(smallest) - 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tiny:layer1,norm=l2", "norm=l2 is not one of its values; there are: rms, linf"),
        ("tiny:layer1,bands=4+2+1", "bands= divides a budget among joined sites"),
        ("tiny:layer*+stile*", "there is no site named 'stile*'"),
    ],
)
def test_a_mistake_is_one_sentence(tiny_place: Path, granu: Callable[..., Any], spec: str, message: str) -> None:
    answer = granu("eval", "--perturb", spec, "--classifier", "tiny-classifier")
    assert answer.returncode == 2 and message in answer.stderr and len(answer.stderr.strip().splitlines()) == 1
