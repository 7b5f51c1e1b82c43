"""The plugin keeps granu's contracts."""

import torch

import granu
from granu.testing import check_import_without_torch, check_plugin, check_space_factory, tiny


def test_the_plugin_keeps_the_contract():
    check_plugin("checkers")
    check_import_without_torch("granu_checkers")


def test_its_space_keeps_the_contract():
    checkers = granu.BuildContext(granu.load_catalog()).build("perturbation", "checkers:4")
    check_space_factory(checkers, tiny.tiny_bent_classifier(), tiny.tiny_batch())


def test_results_do_not_depend_on_the_batch():
    classifier, batch = tiny.tiny_bent_classifier(), tiny.tiny_batch()
    together, alone = (
        granu.attack(classifier, batch.images, batch.labels, "checkers:4,steps=30", batch=size).sizes for size in (6, 1)
    )
    torch.testing.assert_close(together, alone, rtol=1e-2, atol=0, equal_nan=True)
