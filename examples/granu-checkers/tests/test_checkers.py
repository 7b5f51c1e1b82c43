"""granu's contracts are the tests of a plugin."""

from granu.catalog import load_catalog
from granu.search.options import SearchOptions
from granu.search.searched import Searched
from granu.testing import tiny
from granu.testing.contracts import check_leaflet, check_perturbation, check_plugin, check_searchable
from granu.workshop import Workshop


def checkers():
    return Workshop(load_catalog()).build("perturbation", "checkers:4")


def test_the_plugin_is_in_order():
    check_plugin("checkers")
    check_leaflet("granu_checkers")


def test_its_space_is_in_order():
    check_searchable(checkers(), tiny.tiny_bent_classifier(), tiny.tiny_batch())


def test_what_is_found_does_not_depend_on_the_batch():
    searched = Searched(checkers(), SearchOptions(steps=30))
    check_perturbation(searched, tiny.tiny_bent_classifier(), tiny.tiny_batch())
