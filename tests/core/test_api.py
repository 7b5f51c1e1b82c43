"""The Python API on live models: closed forms, nothing of the model is touched, and the command line's sentences."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import granu
from granu import ClassifierError, DataError, GranuError, OptionError, RunFolderError, UnknownName
from granu.images.ops import decode_png, quantize
from granu.runs.gallery import changed_name
from granu.runs.run import Run, read_run
from granu.runs.trials import CLEAN_WRONG, FOUND

CLASSES = 3
COUNT = 8


def linear(seed: int = 0) -> nn.Sequential:
    """A linear network of images 3 x 4 x 4."""
    noise = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(CLASSES, 48, generator=noise))
        network[1].bias.copy_(-network[1].weight.sum(dim=1) / 2)  # grey lies on all boundaries
    return network


@pytest.fixture
def model() -> nn.Sequential:
    """The linear network, in training mode."""
    return linear().train()


@pytest.fixture
def images() -> Tensor:
    """Images about grey, so that the range of pixels is seldom in the way."""
    return quantize(0.5 + 0.08 * torch.randn(COUNT, 3, 4, 4, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def labels(model: nn.Module, images: Tensor) -> Tensor:
    """The network's own classes."""
    return predict(model, images)


def predict(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(dim=1)


def nearest_boundary(model: nn.Sequential, images: Tensor, dual: float) -> Tensor:
    """Distance to the nearest boundary of the linear network: gap of the logits over the dual norm of its slope."""
    weight, logits = model[1].weight.detach(), model(images).detach()
    label = logits.argmax(dim=1)
    gaps = logits.gather(1, label[:, None]) - logits
    slopes = (weight[label][:, None] - weight[None]).norm(p=dual, dim=2)
    return (gaps / slopes).scatter(1, label[:, None], math.inf).amin(dim=1)


# attack


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2.0), ("linf", 1.0)])
def test_the_smallest_change_of_a_linear_network_is_the_closed_form(
    model: nn.Sequential, images: Tensor, labels: Tensor, norm: str, dual: float
) -> None:
    # as far from all boundaries as the range of pixels is from being in the way
    images = quantize(images + 0.2 * model[1].weight.detach()[labels].sign().view_as(images)).clamp(0.1, 0.9)
    result = granu.attack(model, images, labels, f"pixel:{norm}")
    ratio = result.sizes / nearest_boundary(model, images, dual)
    assert (ratio > 0.999).all() and (ratio < 1.25).all()
    assert (ratio < 1.006).sum() >= COUNT - 1, "all but one whose search follows the second boundary"
    assert all(trial.extra["quantization_scale"] < 1.13 for trial in result.trials)


def test_the_result_is_what_the_model_answers_to_the_quantized_images(
    model: nn.Sequential, images: Tensor, labels: Tensor
) -> None:
    result = granu.attack(model, images, labels)
    assert torch.equal(quantize(result.images), result.images) and result.images.shape == images.shape
    assert torch.equal(result.predicted, predict(model, result.images))
    assert torch.equal(result.found, result.predicted != labels)
    difference = (result.images - images).flatten(1)
    assert torch.allclose(result.l2, difference.norm(dim=1), rtol=1e-4)
    assert torch.allclose(result.linf, difference.abs().amax(dim=1), atol=1e-6)
    assert result.unit == "pixel L2" and [trial.image for trial in result.trials] == [
        f"image#{n}" for n in range(COUNT)
    ]
    assert repr(result) == f"AttackResult(found={COUNT} of {COUNT}, images={COUNT}, unit='pixel L2')"
    for trial, image in zip(result.trials, result.images, strict=True):
        kept = result.run.read_image(changed_name(trial.image, trial.classifier, trial.perturbation))
        assert kept is not None and torch.equal(decode_png(kept), image)


def test_what_was_wrong_from_the_start_is_unchanged_and_has_no_size(
    model: nn.Sequential, images: Tensor, labels: Tensor
) -> None:
    labels[2] = (labels[2] + 1) % CLASSES
    result = granu.attack(model, images, labels, batch=3)
    assert result.trials[2].outcome == CLEAN_WRONG and not result.found[2] and result.found.sum() == COUNT - 1
    assert torch.equal(result.images[2], images[2]) and result.predicted[2] != labels[2]
    assert all(values[2].isnan() for values in (result.sizes, result.l2, result.linf))
    assert repr(result).startswith(f"AttackResult(found={COUNT - 1} of {COUNT - 1}, images={COUNT}")


def test_a_budget_too_small_finds_nothing_and_keeps_what_it_tried(images: Tensor) -> None:
    def bright(x: Tensor) -> Tensor:  # class 1 only where nearly all is white
        brightness = x.flatten(1).mean(dim=1)
        return torch.stack([torch.full_like(brightness, 0.95), brightness, 0 * brightness], dim=1)

    labels = torch.zeros(len(images), dtype=torch.int64)
    result = granu.attack(bright, images, labels, "pixel:linf,search=pgd,steps=3,budget=2/255")
    assert not result.found.any() and result.sizes.isnan().all() and torch.equal(result.predicted, labels)
    assert (result.linf <= 2 / 255 + 1e-6).all() and (result.linf > 0).all()


def test_a_budget_of_less_than_one_step_of_8_bit_images_is_refused(
    model: nn.Sequential, images: Tensor, labels: Tensor
) -> None:
    with pytest.raises(GranuError, match=r"budget=0.003 is less than one step of 8-bit images"):
        granu.attack(model, images, labels, "pixel:linf,search=pgd,steps=3,budget=0.003")


def test_the_model_keeps_its_mode_weights_buffers_and_gradients(images: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    model.train()
    model(images).sum().backward()
    model.eval()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    layout = {name: parameter.stride() for name, parameter in model.named_parameters()}
    granu.attack(model, images, torch.zeros(COUNT, dtype=torch.int64), "pixel:l2,steps=3")
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(gradients) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad and parameter.stride() == layout[name]
        assert parameter.grad is not None and torch.equal(parameter.grad, gradients[name])


class Normalised(nn.Module):
    """A network behind its normalisation."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network, self.mean, self.std = network, mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


def test_mean_and_std_are_the_same_as_a_network_behind_its_normalisation(model: nn.Module, images: Tensor) -> None:
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    wrapped = Normalised(model, mean, std)
    labels = predict(wrapped, images)
    one = granu.attack(wrapped, images, labels, "pixel:l2,steps=20")
    other = granu.attack(model, images, labels, "pixel:l2,steps=20", mean=mean.tolist(), std=std.tolist())
    assert torch.equal(one.predicted, other.predicted) and torch.allclose(one.sizes, other.sizes, rtol=1e-3)
    plain = granu.attack(model, images, labels, "pixel:l2,steps=20")
    assert not torch.allclose(plain.sizes.nan_to_num(), one.sizes.nan_to_num(), rtol=1e-2)


QUICK = "pixel:l2,steps=5"


def loader(images: Tensor, labels: Tensor, size: int = 3) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(images.split(size), labels.split(size), strict=True)


def same(one: Any, other: Any) -> bool:
    return torch.equal(one.images, other.images) and [t.line() for t in one.trials] == [t.line() for t in other.trials]


def test_a_loader_a_pair_a_list_of_labels_and_uint8_are_the_same_images(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    expected = granu.attack(model, images, labels, QUICK)
    assert same(granu.attack(model, list(loader(images, labels)), perturb=QUICK), expected)
    assert same(granu.attack(model, loader(images, labels), perturb=QUICK), expected)
    assert same(granu.attack(model, (images, labels), perturb=QUICK), expected)
    assert same(granu.attack(model, images, labels.tolist(), QUICK), expected)
    assert same(granu.attack(model, (images * 255).round().to(torch.uint8), labels, QUICK), expected)
    assert same(granu.attack(model, torch.utils.data.TensorDataset(images, labels), perturb=QUICK), expected)
    dataloader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=5)
    assert same(granu.attack(model, dataloader, perturb=QUICK), expected)


def test_the_batch_does_not_change_the_result(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    one, other = (granu.attack(model, images, labels, QUICK, batch=batch) for batch in (COUNT, 3))
    assert torch.equal(one.predicted, other.predicted) and torch.allclose(one.sizes, other.sizes, rtol=1e-3)


def test_a_function_and_a_classifier_of_granu_are_attacked_like_a_module(
    model: nn.Sequential, images: Tensor, labels: Tensor
) -> None:
    expected = granu.attack(model, images, labels, QUICK)
    frozen = linear()
    for given in (lambda x: model(x), granu.ImageClassifier(frozen, ("a", "b", "c"))):
        result = granu.attack(given, images, labels, QUICK)
        assert torch.equal(result.images, expected.images) and torch.equal(result.sizes, expected.sizes)


def test_a_model_that_wraps_its_logits_is_taken(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    class Answer:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

    assert same(
        granu.attack(lambda x: Answer(model(x)), images, labels, QUICK),  # type: ignore[arg-type, return-value]
        granu.attack(model, images, labels, QUICK),
    )


def test_grey_images_are_attacked_in_grey() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    images = torch.full((2, 1, 4, 4), 0.5)
    result = granu.attack(model, images, predict(model, images), QUICK)
    assert result.images.shape == (2, 1, 4, 4)


IMAGES = torch.full((2, 3, 4, 4), 0.6)
LABELS = predict(linear(), IMAGES)
Ask = Callable[[], object]
REFUSALS: list[tuple[type[GranuError], str, Ask]] = [
    (DataError, "images need labels; give their class numbers", lambda: granu.attack(linear(), IMAGES)),
    (DataError, r"images must be \(N, C, H, W\) with 1 or 3 channels, not \(3, 4, 4\)",
     lambda: granu.attack(linear(), IMAGES[0], LABELS)),
    (DataError, r"images must be \(N, C, H, W\) with 1 or 3 channels, not \(2, 4, 4, 3\)",
     lambda: granu.attack(linear(), IMAGES.permute(0, 2, 3, 1), LABELS)),
    (DataError, "there are no images", lambda: granu.attack(linear(), IMAGES[:0], LABELS[:0])),
    (DataError, "there are no images", lambda: granu.attack(linear(), iter(()))),
    (DataError, r"images must lie in \[0, 1\], not -1 to 0.6; undo their normalisation and give it as mean= and std=",
     lambda: granu.attack(linear(), torch.cat([IMAGES, -torch.ones(1, 3, 4, 4)]), [0, 0, 0])),
    (DataError, r"images must lie in \[0, 1\]", lambda: granu.attack(linear(), IMAGES * torch.nan, LABELS)),
    (DataError, "labels must be 2 class numbers, one for each image", lambda: granu.attack(linear(), IMAGES, [0])),
    (DataError, "labels must be 2 class numbers", lambda: granu.attack(linear(), IMAGES, torch.zeros(2))),
    (DataError, "labels must be class numbers from 0, not -1", lambda: granu.attack(linear(), IMAGES, [0, -1])),
    (DataError, "images must be a tensor, a loader of .*; not int", lambda: granu.attack(linear(), 7)),  # type: ignore[arg-type]
    (DataError, "a loader must give \\(images, labels\\)", lambda: granu.attack(linear(), [IMAGES, LABELS])),
    (DataError, "the images of a loader must have one size; resize them",
     lambda: granu.attack(linear(), [(IMAGES, LABELS), (torch.zeros(1, 3, 5, 5), LABELS[:1])])),
    (ClassifierError, r"the classes of 'images' \(4: 0, 1, 2, ...\) are not those of 'model' \(3: 0, 1, 2\)",
     lambda: granu.attack(linear(), IMAGES, [0, 3])),
    (ClassifierError, "'model' is a int; give a torch.nn.Module, a function, or a spec",
     lambda: granu.attack(7, IMAGES, LABELS)),  # type: ignore[arg-type]
    (ClassifierError, r"'model' gave a Tensor for an image, not logits of shape \(1, classes\)",
     lambda: granu.attack(nn.Identity(), IMAGES, LABELS)),
    (ClassifierError, r"'model' fails on images of 3 x 5 x 4 \(mat1 and mat2 .*\); if it takes another size,",
     lambda: granu.attack(linear(), torch.rand(2, 3, 5, 4), LABELS)),
    (ClassifierError, r"'model' fails on images of 3 x 5 x 4 \(mat1 and mat2 .*\); if it takes another size,",
     lambda: granu.attack(linear(), torch.rand(2, 3, 5, 4), LABELS, classes=("a", "b", "c"))),
    (ClassifierError, r"'model' gave \(2, 3\) for 2 images, not \(2, 2\); name as many classes as it has outputs",
     lambda: granu.attack(linear(), IMAGES, LABELS, classes=("a", "b"))),
    (ClassifierError, "'model' gives NaN or infinite logits",
     lambda: granu.attack(lambda x: x.flatten(1)[:, :3] * torch.nan, IMAGES, LABELS)),
    (OptionError, "`pixel:all` means 3 perturbations; attack takes one",
     lambda: granu.attack(linear(), IMAGES, LABELS, "pixel:all")),
    (UnknownName, "did you mean 'pixel'", lambda: granu.attack(linear(), IMAGES, LABELS, "pixl:l2")),
    (DataError, "does not fit images of 4 pixels",
     lambda: granu.attack(linear(), IMAGES, LABELS, "frequency:start=9")),
    (OptionError, "cannot be used", lambda: granu.attack(linear(), IMAGES, LABELS, device="cuda:99")),
    (OptionError, "'net' needs names for its outputs when no images are given; name them with classes=",
     lambda: granu.evaluate("stylegan:layer6", {"net": linear()})),
    (OptionError, "say what to change with --perturb", lambda: granu.evaluate((), linear(), (IMAGES, LABELS))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "sentence", "ask"), REFUSALS, ids=[sentence[:40] for _, sentence, _ in REFUSALS])
def test_a_mistake_is_the_sentence_of_the_command_line(error: type[GranuError], sentence: str, ask: Ask) -> None:
    with pytest.raises(GranuError, match=sentence) as raised:
        ask()
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, error) or type(raised.value) is GranuError


def test_a_model_that_cannot_be_copied_is_refused_with_the_way_out(images: Tensor, labels: Tensor) -> None:
    model = linear()
    model[1].register_buffer("grown", model[1].weight * 2)  # belongs to a graph of gradients
    with pytest.raises(ClassifierError, match=r"'model' cannot be copied .*granu.ImageClassifier\(model, classes\)"):
        granu.attack(model, images, labels)


# evaluate


def lines(run: Run | Path) -> list[str]:
    trials = run.trials if isinstance(run, Run) else read_run(run).trials
    return sorted(trial.line() for trial in trials)


def test_several_models_are_measured_under_their_names(images: Tensor, labels: Tensor) -> None:
    models = {"mine": linear(), "other": linear(seed=7)}
    run = granu.evaluate([QUICK, "pixel:linf,steps=5"], models, (images, labels), count=5)
    assert list(run.record.classifiers) == list(models) and run.folder is None
    assert {trial.key for trial in run.trials} == {
        (name, key, f"image#{n}") for name in models for key in (QUICK, "pixel:linf,steps=5") for n in range(5)
    }
    attacked = granu.attack(models["mine"], images[:5], labels[:5], QUICK)
    mine = [t for t in run.trials if (t.classifier, t.perturbation) == ("mine", QUICK)]
    assert [t.size for t in mine] == [t.size for t in attacked.trials]


def test_live_judges_vote_on_the_label(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    judges = {"judge": linear(seed=7)}
    run = granu.evaluate(QUICK, model, (images, labels), judges=judges, count=COUNT, keep=COUNT)
    assert list(run.record.classifiers) == ["model", "judge"]
    for trial in run.trials:
        png = run.read_image(changed_name(trial.image, "model", QUICK))
        assert png is not None
        assert trial.votes == {"judge": int(predict(judges["judge"], decode_png(png)[None]))}


def test_a_run_in_a_folder_is_resumed_and_notices_another_model(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    progress: list[tuple[int, int]] = []
    granu.evaluate(QUICK, model, (images, labels), count=4, out="run")
    before = Path("run/trials.jsonl").read_bytes()
    run = granu.evaluate(
        QUICK, model, (images, labels), count=COUNT, out="run",
        progress=lambda done, total, what: progress.append((done, total)),
    )  # fmt: skip
    assert Path("run/trials.jsonl").read_bytes().startswith(before) and progress == [(4, COUNT), (COUNT, COUNT)]
    assert run.folder == Path("run") and lines(run) == lines(Path("run"))
    assert lines(run) == lines(granu.evaluate(QUICK, model, (images, labels), count=COUNT))
    with pytest.raises(RunFolderError, match="the classifier 'model' is not the one measured there"):
        granu.evaluate(QUICK, linear(seed=7), (images, labels), count=COUNT, out="run")
    with pytest.raises(RunFolderError, match="of the images in `images` changed since they were measured"):
        granu.evaluate(QUICK, model, (images.flip(0), labels.flip(0)), count=COUNT, out="run")
    fresh = granu.evaluate(QUICK, linear(seed=7), (images, labels), count=2, out="run", fresh=True)
    assert len(fresh.trials) == 2 == len(read_run(Path("run")).trials)


def test_a_loader_is_read_only_as_far_as_it_is_needed(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    read = []

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in loader(images, labels, 2):
            read.append(1)
            yield batch

    assert len(granu.evaluate(QUICK, model, batches(), count=3).trials) == 3 and len(read) == 2


def test_specs_alone_give_the_trials_of_the_command_line(tiny_place: Path, granu: Any, plugins_on_path: None) -> None:
    from granu import api

    key = "tiny:layer1,samples=5,steps=5"
    answer = granu(
        "eval", "-p", key, "-c", "tiny-classifier", "--judge", "tiny-classifier:linear", "--count", "5", "--seed", "3",
        "--out", "there",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    here = api.evaluate(key, "tiny-classifier", judges="tiny-classifier:linear", count=5, seed=3)
    assert lines(here) == lines(Path("there")) and len(lines(here)) == 5
    assert here.record.perturbations == read_run(Path("there")).record.perturbations
    renamed = api.evaluate(key, {"mine": "tiny-classifier"}, judges=[], count=5, seed=3)
    assert [t.size for t in renamed.trials] == [t.size for t in here.trials]
    assert {t.classifier for t in renamed.trials} == {"mine"}


def test_workers_compute_live_models_and_data(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    request = {"data": (images, labels), "count": COUNT, "batch": 2, "judges": {"judge": linear(seed=7)}}
    alone = granu.evaluate(QUICK, {"mine": model}, **request)  # type: ignore[arg-type]
    shared = granu.evaluate(QUICK, {"mine": model}, workers=2, **request)  # type: ignore[arg-type]
    assert lines(alone) == lines(shared) and len(alone.trials) == COUNT
    assert alone.images == shared.images


def test_a_model_that_cannot_be_given_to_workers_is_refused_with_the_way_out(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(GranuError, match=r"cannot be given to other processes .*use workers=1, or name classifiers"):
        granu.evaluate(QUICK, {"mine": lambda x: x.flatten(1)[:, :3]}, (images, labels), count=2, workers=2)


def test_what_could_not_be_measured_is_in_the_runs_failures(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    run = granu.evaluate([QUICK, "frequency:start=9"], model, (images, labels), count=3)
    (failure,) = run.record.failures
    assert failure.perturbation == "frequency:start=9" and len(run.trials) == 3


# what a run gives


@pytest.fixture
def run(model: nn.Module, images: Tensor, labels: Tensor) -> Run:
    """Two models under two perturbations."""
    labels[0] = (labels[0] + 1) % CLASSES
    return granu.evaluate(
        [QUICK, "pixel:linf,steps=5"], {"mine": model, "other": linear(seed=7)}, (images, labels), count=COUNT
    )


def test_a_run_gives_its_tables_as_text_data_figure_and_html(run: Run) -> None:
    records = run.to_dicts()
    assert [(r["classifier"], r["perturbation"]) for r in records] == [
        (name, key) for name in ("mine", "other") for key in (QUICK, "pixel:linf,steps=5")
    ]
    sizes = sorted(t.size for t in run.trials if t.key[:2] == ("mine", QUICK) and t.outcome == FOUND and t.size)
    assert len(sizes) == COUNT - 1
    assert (records[0]["found_hits"], records[0]["counted"], records[0]["clean_wrong"]) == (COUNT - 1, COUNT - 1, 1)
    assert records[0]["size"] == pytest.approx(sizes[len(sizes) // 2])
    text, html = run.table(), run._repr_html_()
    for word in ("mine", "other", QUICK, "pixel:linf,steps=5", "pixel L2", f"{COUNT - 1} of {COUNT}"):
        assert word in text and word in html, word
    assert html.startswith("<div") and "<table" in html
    import matplotlib.pyplot as plt

    plt.close(run.figure())


def test_a_run_of_worst_changes_alone_has_no_profile(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    run = granu.evaluate("pixel:linf,search=pgd,steps=3,budget=8/255", model, (images, labels), count=3)
    assert "8/255" in run.table()
    with pytest.raises(GranuError) as raised:
        run.figure()
    assert "\n" not in str(raised.value)


def test_two_models_of_a_run_or_of_two_runs_are_compared(
    run: Run, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    compared = granu.compare(run)
    assert "mine" in compared.table() and "other" in compared.table()
    assert [record["perturbation"] for record in compared.to_dicts()] == [QUICK, "pixel:linf,steps=5"]
    folders = []
    for name, one in (("mine", model), ("other", linear(seed=7))):
        granu.evaluate([QUICK, "pixel:linf,steps=5"], {name: one}, (images, labels), count=COUNT, out=name)
        folders.append(name)
    assert granu.compare(*folders).to_dicts() == compared.to_dicts()


def test_nothing_is_written_without_a_folder(run: Run, tmp_path: Path) -> None:
    assert not [name for name in os.listdir(tmp_path) if name not in ("cache", "made-up-plugins")]


class Mixed:
    """Two images of different sizes, or a broken one."""

    classes = ("0", "1")
    in_order = True

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 2

    def image_id(self, index: int) -> str:
        return f"mixed#{index}"

    def read(self, index: int) -> tuple[torch.Tensor, int]:
        if self.broken and index:
            raise granu.DataError("mixed#1 cannot be read")
        return torch.full((1, 2 + index, 2), 0.5), index


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (True, "mixed#1 cannot be read"),
        (False, r"images of one size, not \(1, 2, 2\) and \(1, 3, 2\); use granu.evaluate"),
    ],
)
def test_attack_refuses_what_makes_no_tensor_before_it_measures(broken: bool, sentence: str) -> None:
    with pytest.raises(granu.DataError, match=sentence):
        granu.attack(torch.nn.Flatten(), Mixed(broken))


def test_mean_and_std_may_be_tensors() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    images, labels = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0)), [0, 1]
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    listed = granu.attack(network, images, labels, "pixel:l2,steps=5", mean=mean, std=std)
    given = granu.attack(network, images, labels, "pixel:l2,steps=5", mean=torch.tensor(mean), std=torch.tensor(std))
    assert torch.equal(listed.images, given.images) and torch.equal(listed.found, given.found)


def test_the_defaults_are_those_of_the_command_line() -> None:
    from granu.cli.evaluate import evaluate as command

    typed = {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}
    for function, shared in (
        (granu.evaluate, ("count", "seed", "batch", "keep", "precision", "workers", "threads", "out", "fresh")),
        (granu.attack, ("seed", "batch", "precision")),
    ):
        defaults = inspect.signature(function).parameters
        assert {name: defaults[name].default for name in shared} == {name: typed[name] for name in shared}
    assert inspect.signature(granu.attack).parameters["perturb"].default == "pixel:l2"
