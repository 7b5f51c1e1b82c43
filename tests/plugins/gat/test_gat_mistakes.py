"""Mistakes in specs of `gat`, each answered in one sentence before the training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gat_world import small_network
from training_steps import images_of, make_step

from granu import ClassifierError, Defense, GranuError

Build = Callable[[str], Defense]
SHORT = "budget=0.3,samples=20"


REFUSED = [
    ("gat", "say which generator's sites are attacked, for example `gat:stylegan`"),
    ("gat:pixel:linf,budget=0.1", "'pixel' is no generator; train against it with adversarial:pixel:linf"),
    ("gat:tiny,generator=styled", "gives 'generator' twice, as the target and by name"),
    ("gat:stylegn", "there is no perturbation named 'stylegn'; did you mean 'stylegan'?"),
    ("gat:styled:style1", "there is no site named 'style1'"),
    ("gat:stylegan:stile*", "there is no site named 'stile*' in `gat:stylegan:stile*`; did you mean 'style6'?"),
    ("gat:biggan:layr0", "there is no site named 'layr0' in `gat:biggan:layr0`; did you mean 'layer0'?"),
    ("gat:stylegan:style99", "there is no site named 'style99'"),
    ("gat:styled,budgt=1", "has no option 'budgt'"),
    ("gat:tiny", "search=pgd needs a size to spend; add budget=NUMBER"),
    ("gat:styled,budget=0", "budget=0.0 is out of range"),
    ("gat:styled,norm=l2", "norm=l2 is not one of its values"),
    ("gat:styled,bands=1+2", "bands=1+2 is not three numbers"),
    ("gat:styled,search=worst", "training attacks by search=pgd"),
    ("gat:styled,search=random", "leave search= out, or take attack=random"),
    ("gat:styled|tiny", "one generator's sites are attacked together"),
    ("gat:styled,step=0.5", "step=0.5 is larger than budget=0.2"),
    ("gat:styled,clean=0.5+2", "clean=0.5+2 is not one share from 0 to 1"),
    ("gat:styled,clean=0.5+0.2+0.1", "or two such as 0.9+0.5"),
    ("gat:styled,residual=yes", "residual=yes is for encoded images; add images=encoded"),
    ("gat:tiny,budget=1,images=encoded", "images=encoded: `tiny` does not encode images"),
    ("gat:styled,changed=relabel", "changed=relabel needs a classifier that says so; add judge="),
    ("gat:styled,judge=zoo:mnist-cnnn", "there are no weights 'mnist-cnnn'"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_a_mistake_is_one_sentence(build: Build, spec: str, message: str) -> None:
    with pytest.raises(GranuError) as raised:
        build(spec)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "gat:styled,names=cat+dog+fish",
            "`styled:names=cat+dog+fish` draws cat, dog, fish, which the classifier does",
        ),
        ("gat:styled,side=12", "draws images of 12 x 12, 1 channels, and 'small' takes 8 x 8, 1 channels"),
        ("gat:styled,judge=tiny-classifier:two", "the judge `tiny-classifier:two` does not know disc, bar, cross"),
        ("gat:styled,normalisation=own", "'small' has no normalisation layers"),
    ],
)
def test_what_does_not_fit_the_classifier_is_refused_before_training(build: Build, spec: str, message: str) -> None:
    with pytest.raises(ClassifierError) as raised:
        build(spec).prepare(small_network())
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_another_size_is_accepted_if_asked_for(build: Build) -> None:
    defense, step = build(f"gat:styled,side=12,resize=yes,{SHORT}"), make_step(small_network())
    defense.prepare(step.classifier)
    assert {tuple(images.shape) for images in images_of(defense, step)} == {(6, 1, 8, 8)}


def test_noise_that_does_not_vary_is_refused(build: Build) -> None:
    with pytest.raises(GranuError, match="the site 'noise0' is the same in all images of this generator"):
        build(f"gat:styled,noise=no,{SHORT}").loss(make_step(small_network()))
    assert build(f"gat:styled:style0,noise=no,{SHORT}").loss(make_step(small_network())).isfinite()


def test_the_check_needs_no_torch(run_python) -> None:  # type: ignore[no-untyped-def]
    code = """
import sys
from granu import BuildContext, load_catalog
context = BuildContext(load_catalog())
context.check("defense", "gat:stylegan,judge=zoo:mnist-judge-resnet")
print("torch" in sys.modules)
"""
    assert run_python(code).stdout.strip() == "False"
