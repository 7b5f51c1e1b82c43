"""The plugin module of granu_smooth: offers, defaults and a run from the command's words."""

from __future__ import annotations

from granu import BuildContext, load_catalog
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
