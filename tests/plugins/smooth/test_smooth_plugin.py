"""The plugin module of granu_smooth: offers, defaults and a run from the command's words."""

from __future__ import annotations

import pytest
import torch

from granu import Batch, BuildContext, LInfSpace, PixelSpace, Streams, load_catalog
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.runs.suites import suite_perturbations
from granu.testing import check_import_without_torch, check_plugin
from granu_smooth.recolor import Recolor
from granu_smooth.spatial import Spatial


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin("smooth")
    check_import_without_torch("granu_smooth")


def test_specs_give_the_lattices() -> None:
    context = BuildContext(load_catalog())
    spatial, recolor = context.build("perturbation", "spatial"), context.build("perturbation", "recolor:points=5")
    assert isinstance(spatial, Spatial) and spatial.points == 8
    assert isinstance(recolor, Recolor) and recolor.points == 5


SUITES = ("unseen", "unseen-digits")


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 40, 64)])
def test_every_attack_of_a_suite_takes_digits_and_photographs(suite: str, shape: tuple[int, ...]) -> None:
    catalog = load_catalog()
    context = BuildContext(catalog)
    request = Request(suite_perturbations(catalog, [suite]), data="stylegan")
    planned = make_plan(catalog, context, request, {}).perturbations
    images = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, torch.zeros(2, dtype=torch.int64), ("a", "b"))
    assert len(planned) == 7
    for one in planned:
        assert one.search is not None and one.search.name == "worst" and one.search.budget is not None
        space = context.make(one.resolved).open(lambda x: x.flatten(1)[:, :2], batch, Streams(0, batch.ids))
        assert isinstance(space, LInfSpace | PixelSpace)
        budget = space.storable(torch.full((2,), one.search.budget))
        changed = space.images(space.within(space.draw(budget, Streams(1, batch.ids)), budget))
        assert (budget > 0).all() and (changed - images).abs().amax() > 1 / 255  # an 8-bit image shows it
        assert (budget < space.limit()).all()


def test_both_suites_attack_the_same_spaces() -> None:
    catalog = load_catalog()
    names = [[text.split("budget")[0] for text in suite_perturbations(catalog, [suite])] for suite in SUITES]
    assert names[0] == names[1]
