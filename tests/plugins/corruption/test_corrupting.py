"""The perturbation: fixed severities are judged by the core, and the smallest severity is searched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from granu import BuildContext, Criterion, DataError, OptionError, Streams, load_catalog
from granu.runs.plan import EvalPlan, Request
from granu.runs.planning import make_plan
from granu.search.options import SmallestOptions
from granu.search.perturbation import SearchedPerturbation
from granu.search.smallest import Smallest
from granu.testing import check_perturbation, check_space_factory, tiny
from granu_corruption import CorruptionOptions
from granu_corruption.names import BENCHMARK
from granu_corruption.perturbation import FixedCorruption, SearchedCorruption


def plan(*perturbations: str) -> EvalPlan:
    catalog = load_catalog()
    request = Request(perturbations, classifiers=("zoo:mnist-cnn",), judges=(), data="stylegan")
    return make_plan(catalog, BuildContext(catalog), request)


@pytest.mark.parametrize("name", ["fog", "shot-noise", "jpeg-compression", "glass-blur"])
def test_the_search_keeps_the_contract_of_spaces(name: str) -> None:
    searched = SearchedCorruption(CorruptionOptions(name))
    check_space_factory(searched, tiny.tiny_bent_classifier(), tiny.tiny_batch(4))


def test_fixed_severities_keep_the_contract_of_perturbations() -> None:
    check_perturbation(FixedCorruption("snow", (5, 1, 3), "auto"), tiny.tiny_bent_classifier(), tiny.tiny_batch(4))


def test_fixed_severities_are_evidence_at_each_from_the_same_random_numbers() -> None:
    batch = tiny.tiny_batch(3)
    batch = replace(batch, images=torch.full_like(batch.images, 0.5))
    fixed = FixedCorruption("gaussian-noise", (4, 2, 4), "cifar")
    proposal = fixed.perturb(tiny.tiny_bent_classifier(), batch, Criterion(batch.labels), Streams(0, batch.ids))
    assert proposal.levels is not None and list(proposal.levels) == [2, 4] and (proposal.size == 4).all()
    two, four = ((level.images - 0.5) for level in proposal.levels.values())
    torch.testing.assert_close(1.5 * two, four, atol=1e-4, rtol=0)
    assert (proposal.forward == 2).all() and proposal.control is None


def test_the_smallest_severity_fools_and_a_little_less_does_not() -> None:
    classifier, batch = tiny.tiny_linear_classifier(), tiny.tiny_batch(9)
    labels = classifier(batch.images).argmax(1)
    search = SearchedPerturbation(
        SearchedCorruption(CorruptionOptions("elastic-transform", table="imagenet")), Smallest(SmallestOptions())
    )
    proposal = search.perturb(classifier, batch, Criterion(labels), Streams(0, batch.ids))
    found = proposal.size > 0
    assert found.any()
    space = SearchedCorruption(CorruptionOptions("elastic-transform", table="imagenet")).open(
        classifier, batch, Streams(0, batch.ids).scope("space")
    )
    at, below = (space.judged_logits((share * proposal.size)[:, None]).argmax(1) for share in (1.0, 0.99))
    assert (at != labels)[found].all() and (below == labels)[found].float().mean() > 0.5


def test_all_means_the_benchmark_and_severities_fix_the_search() -> None:
    fixed, searched = plan("corruption:all,severity=1+2+3+4+5"), plan("corruption:all")
    assert [p.resolved.options.name for p in fixed.perturbations] == list(BENCHMARK)
    assert {p.search for p in fixed.perturbations} == {None}
    assert fixed.perturbations[0].resolved.options.severity == (1, 2, 3, 4, 5)
    assert {p.search.name for p in searched.perturbations if p.search} == {"smallest"}


@pytest.mark.parametrize(("text", "sentence"), [
    ("corruption", "`corruption` names none; write it like corruption:fog"),
    ("corruption:fogg", "there is no corruption named 'fogg'; did you mean 'fog'"),
    ("corruption:fog,severity=6", "severity=6 is out of range; it must be 0 to 5"),
    ("corruption:fog,severity=3,search=smallest", "is not searched with these options, so remove search"),
    ("corruption:fog,severity=much", "severity=much is not a number"),
    ("corruption:fog,tables=cifar", "has no option 'tables'; did you mean 'table'"),
])  # fmt: skip
def test_mistakes_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as raised:
        plan(text)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_colours_of_grey_images_cannot_be_changed() -> None:
    batch = tiny.tiny_batch(2)
    fixed = FixedCorruption("saturate", (3,), "auto")
    with pytest.raises(DataError, match="these images are grey"):
        fixed.perturb(tiny.tiny_bent_classifier(), batch, Criterion(batch.labels), Streams(0, batch.ids))
