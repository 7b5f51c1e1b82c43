"""Runs with guides: what counts as found, what is recorded, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import granu
from granu.cli.result import result_as_json
from granu.errors import GranuError, OptionError, RunFolderError
from granu.images.ops import decode_png
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.plugins.spec import parse_spec
from granu.report.notes import of_guides
from granu.runs.gallery import changed_name
from granu.runs.run import Run
from granu.types import Classifier

TESTED, GUIDES = "zoo:mnist-cnn", ["zoo:mnist-judge-mixer", "zoo:mnist-judge-resnet"]
LAYER = "stylegan:z,samples=20,steps=30"


def evaluate(*perturb: str, **options: object) -> Run:
    given = {"classifiers": TESTED, "guides": GUIDES, "count": 6, "keep": 6, **options}
    return granu.evaluate(list(perturb), **given)  # type: ignore[arg-type]


def opened(spec: str) -> Classifier:
    catalog = load_catalog()
    return BuildContext(catalog).make(catalog.resolve("classifier", parse_spec(spec)))


@pytest.fixture(scope="module")
def run() -> Run:
    return evaluate(LAYER, f"{LAYER},preserve=no")


def test_in_all_that_is_found_every_guide_keeps_the_label(run: Run) -> None:
    found = [t for t in run.trials if t.outcome == "found" and "preserve=yes" in t.perturbation]
    assert found
    for trial in found:
        png = run.read_image(changed_name(trial.image, trial.classifier, trial.perturbation))
        assert png is not None
        image = decode_png(png)[None]
        with torch.no_grad():
            assert int(opened(TESTED)(image).argmax()) == trial.predicted != trial.label
            assert [int(opened(guide)(image).argmax()) for guide in GUIDES] == [trial.label] * 2


def test_a_change_that_the_guides_keep_anyway_is_the_one_without_them(run: Run) -> None:
    guided = {trial.image: trial.size for trial in run.trials if "preserve=yes" in trial.perturbation}
    free = [trial for trial in run.trials if "preserve=no" in trial.perturbation]
    kept = [trial for trial in free if all(trial.votes[guide] == trial.label for guide in GUIDES)]
    assert 0 < len(kept) < len(free)
    assert {trial.image: trial.size for trial in kept} == {trial.image: guided[trial.image] for trial in kept}


def test_guides_are_recorded_and_judge_no_more(run: Run) -> None:
    guided, free = sorted(run.record.perturbations.values(), key=lambda one: one.key, reverse=True)
    assert guided.guides == tuple(GUIDES) and free.guides == ()
    votes = {trial.perturbation: set(trial.votes) for trial in run.trials if trial.votes}
    assert votes[guided.key] == {"zoo:mnist-judge-l2"}
    assert votes[free.key] == {"zoo:mnist-judge-l2", *GUIDES}
    assert set(GUIDES) <= set(run.record.classifiers)


def test_the_report_says_which_classifiers_kept_the_label(run: Run) -> None:
    sentence = (
        "preserve=yes: found means that the classifier is fooled and the label is kept by the guides "
        "zoo:mnist-judge-mixer, zoo:mnist-judge-resnet; sizes are upper bounds"
    )
    assert of_guides(run.record) == [sentence]
    assert sentence in result_as_json(run)["notes"], "also for machines"


def test_a_folder_does_not_mix_guides(tmp_path: Path) -> None:
    evaluate("stylegan:image,steps=2", count=2, out=tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"guides zoo:mnist-judge-mixer, zoo:mnist-judge-resnet before, zoo"):
        evaluate("stylegan:image,steps=2", count=2, guides=GUIDES[:1], out=tmp_path / "run")


@pytest.mark.parametrize(
    ("perturb", "options", "message"),
    [
        (
            "pixel:l2,preserve=yes",
            {"guides": None},
            "`pixel:l2,preserve=yes`: preserve=yes needs classifiers that must",
        ),
        ("sparse-pixel", {}, "--guide needs a perturbation that granu searches and that preserves the label"),
        ("pixel:l2,preserve=no", {}, "--guide needs a perturbation that granu searches and that preserves the label"),
        ("pixel:l2", {"guides": [TESTED]}, f"`{TESTED}` is the only guide, and no guide against itself"),
        ("sparse-pixel:preserve=yes", {}, "has no option 'preserve'"),
    ],
)
def test_guides_that_cannot_guide_are_refused(perturb: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        evaluate(perturb, data="stylegan", **options)
    assert message in str(caught.value)


def test_changes_inside_the_classifier_have_no_image_for_guides() -> None:
    with pytest.raises(
        GranuError, match=r"lie inside the classifier, where no guide can see the label; say preserve=no"
    ):
        evaluate("advbn:body.0,steps=1", data="biggan", count=2, classifiers="zoo:mnist-lenet")


def test_a_guide_knows_the_classes_of_the_images() -> None:
    with pytest.raises(GranuError, match=r"^the guide `zoo:cifar10-resnet` does not know 0, 1, 2, ..., so it"):
        evaluate("stylegan:image", count=2, guides=["zoo:cifar10-resnet"])


def test_training_has_no_guides() -> None:
    catalog = load_catalog()
    with pytest.raises(OptionError, match=r"training has no guides that could keep the label; leave preserve= out"):
        granu.plan_spaces("pixel:linf,budget=0.1,preserve=yes", BuildContext(catalog))
