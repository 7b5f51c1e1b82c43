"""The plugin keeps granu's contracts."""

from granu import BuildContext, load_catalog
from granu.search.options import SearchOptions
from granu.search.perturbation import SearchedPerturbation
from granu.testing import check_import_without_torch, check_perturbation, check_plugin, check_space_factory, tiny


def checkers():
    return BuildContext(load_catalog()).build("perturbation", "checkers:4")


def test_the_plugin_keeps_the_contract():
    check_plugin("checkers")
    check_import_without_torch("granu_checkers")


def test_its_space_keeps_the_contract():
    check_space_factory(checkers(), tiny.tiny_bent_classifier(), tiny.tiny_batch())


def test_results_do_not_depend_on_the_batch():
    searched = SearchedPerturbation(checkers(), SearchOptions(steps=30))
    check_perturbation(searched, tiny.tiny_bent_classifier(), tiny.tiny_batch())
