"""granu's contracts are the tests of a plugin."""

from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.search.options import SmallestOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.testing import tiny
from granu.testing.contracts import check_import_without_torch, check_perturbation, check_plugin, check_space_factory


def checkers():
    return BuildContext(load_catalog()).build("perturbation", "checkers:4")


def test_the_plugin_is_in_order():
    check_plugin("checkers")
    check_import_without_torch("granu_checkers")


def test_its_space_is_in_order():
    check_space_factory(checkers(), tiny.tiny_bent_classifier(), tiny.tiny_batch())


def test_what_is_found_does_not_depend_on_the_batch():
    searched = SearchedPerturbation(checkers(), Smallest(SmallestOptions(steps=30)))
    check_perturbation(searched, tiny.tiny_bent_classifier(), tiny.tiny_batch())
