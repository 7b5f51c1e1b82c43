"""Models and images given from Python: what they become, and the whole sentence where they cannot."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from granu import ClassifierError, DataError, GranuError, ImageClassifier, OptionError, load_catalog
from granu.given import (
    Give,
    MemoryDataset,
    Preparation,
    device_of,
    given_dataset,
    resolve_classifiers,
    resolve_images,
)
from granu.plugins.catalog import Resolved
from granu.plugins.context import BuildContext
from granu.plugins.options import NoOptions

SAMPLE = torch.full((3, 2, 2), 0.5)
IMAGES = torch.arange(24.0).view(2, 3, 2, 2) / 32


class Sums(nn.Module):
    """Two logits: the sum of the first channel, and twice the last value of all."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images[:, 0].flatten(1).sum(dim=1), self.scale * images[:, -1, -1, -1]], dim=1)


def resolve(given: Any, sample: Tensor | None = SAMPLE, **prepared: Any) -> tuple[Resolved, ...]:
    return resolve_classifiers(load_catalog(), given, sample, Preparation(**prepared))


def build(resolved: Resolved) -> Any:
    return resolved.offer.make(resolved.options, BuildContext(load_catalog()))


def sentence(ask: Callable[[], object], error: type[GranuError]) -> str:
    with pytest.raises(error) as raised:
        ask()
    assert type(raised.value) is error
    return str(raised.value)


# classifiers


def test_nothing_given_resolves_to_nothing() -> None:
    assert resolve(None) == ()


def test_a_model_alone_is_named_model_and_those_of_a_list_are_numbered() -> None:
    spec = "zoo:mnist-cnn"
    assert [str(r.spec) for r in resolve(Sums())] == ["model"]
    assert [str(r.spec) for r in resolve([Sums(), spec, Sums()])] == ["model0", spec, "model2"]
    assert [str(r.spec) for r in resolve((Sums(),))] == ["model0"]
    assert [str(r.spec) for r in resolve(spec)] == [spec]
    assert [str(r.spec) for r in resolve({"mine": Sums(), "other": spec})] == ["mine", "other"]


def test_a_spec_under_another_name_builds_the_same_thing() -> None:
    (plain,) = resolve("zoo:mnist-cnn")
    (renamed,) = resolve({"mine": "zoo:mnist-cnn"})
    (same,) = resolve({"zoo:mnist-cnn": "zoo:mnist-cnn"})
    assert plain == same and renamed.entry == plain.entry and renamed.options == plain.options
    assert plain.spec.target == "mnist-cnn" and renamed.spec.target is None


def test_a_live_model_is_recorded_as_given_from_python() -> None:
    (resolved,) = resolve({"mine": Sums()})
    entry = resolved.entry
    assert (entry.name, entry.plugin, entry.distribution, entry.version) == ("mine", "given from Python", "", "")
    assert (entry.offer.name, entry.offer.summary) == ("mine", "given from Python")
    assert resolved.options == NoOptions() and entry.where == ""


def test_a_module_is_copied_in_evaluation_mode_with_normalisation_and_numbers_as_classes() -> None:
    model = Sums().train()
    (resolved,) = resolve({"mine": model}, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    built = build(resolved)
    assert isinstance(built, ImageClassifier) and built.network is not model
    assert not built.network.training and model.training and model.scale.requires_grad
    assert built.classes == ("0", "1") and not built.named and built.name == "mine" and built.channels == 3
    # the first channel at (0.75 - 0.5) / 0.5 in each of four pixels, the last at 0.75 / 2, twice
    assert built(torch.full((1, 3, 2, 2), 0.75)).tolist() == [[4 * 0.5, 2 * 0.375]]
    assert build(resolved) is built, "a model is wrapped once"


def test_without_mean_and_std_images_come_as_they_are() -> None:
    built = build(resolve(Sums())[0])
    assert built.channels is None and built.mean.tolist() == [[[[0.0]]]] and built.std.tolist() == [[[[1.0]]]]
    one = build(resolve(Sums(), mean=(0.5,), std=(0.25,))[0])
    assert one.channels is None and one(torch.full((1, 1, 2, 2), 0.75)).tolist() == [[4.0, 2.0]]
    assert build(resolve(Sums(), sample=SAMPLE[:1], mean=(0.5, 0.5), std=(1.0,))[0]).channels == 2


def test_names_of_outputs_that_are_given_are_names() -> None:
    built = build(resolve(Sums(), sample=None, classes=("cat", "dog"))[0])
    assert built.classes == ("cat", "dog") and built.named


def test_a_function_is_wrapped_and_has_no_device() -> None:
    def function(images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] * 2

    built = build(resolve(function)[0])
    assert built.classes == ("0", "1", "2") and built(IMAGES).tolist() == (IMAGES.flatten(1)[:, :3] * 2).tolist()
    assert device_of(function) is None and device_of(nn.ReLU()) is None
    assert device_of(Sums()) == "cpu" and device_of(Sums().to("meta")) == "meta"


def test_the_first_image_that_asks_for_the_outputs_is_normalised() -> None:
    seen: list[Tensor] = []

    def function(images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        seen.append(images)
        return images.flatten(1)[:, :2]

    resolve(function, mean=(0.25, 0.5, 0.0), std=(0.5, 1.0, 0.25))
    (image,) = seen
    assert image.shape == (1, 3, 2, 2) and image[0, :, 1, 0].tolist() == [0.5, 0.0, 2.0]


@pytest.mark.parametrize("what", ["mean", "std"])
def test_a_mean_for_other_channels_than_the_images_have_is_refused(what: str) -> None:
    text = f"{what}= has 2 values for images of 3 channels; give one for each, or one for all"
    assert sentence(lambda: resolve(Sums(), **{what: (0.5, 0.5)}), OptionError) == text
    assert resolve(Sums(), sample=SAMPLE[:1], **{what: (0.5, 0.5, 0.5)}), "grey images become colour"


class Kept:
    """Keeps the protocol of a classifier."""

    classes = ("a", "b")

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2]

    def layers(self) -> Mapping[str, nn.Module]:
        return {}


def test_a_classifier_of_granu_is_taken_as_it_is() -> None:
    kept = Kept()
    assert build(resolve(kept, sample=None)[0]) is kept
    ready = ImageClassifier(Sums(), ("a", "b"))
    assert build(resolve(ready)[0]) is ready


@pytest.mark.parametrize("lost", ["classes", "layers", "__call__"])
def test_what_keeps_only_part_of_the_protocol_is_wrapped_or_refused(lost: str) -> None:
    body = {name: value for name, value in vars(Kept).items() if name != lost and name != "__dict__"}
    thing = type("Part", (), body)()
    if lost == "__call__":
        text = "'model' is a Part; give a torch.nn.Module, a function, or a spec"
        assert sentence(lambda: resolve(thing), ClassifierError) == text
    else:
        assert isinstance(build(resolve(thing)[0]), ImageClassifier)


def test_a_module_without_layers_is_copied_and_moved_as_a_module() -> None:
    class Answer:
        logits = torch.zeros(1, 4)

    class Wrapping(nn.Module):
        def forward(self, images: Tensor) -> Answer:
            return Answer()

    assert build(resolve(Wrapping())[0]).classes == ("0", "1", "2", "3")


def test_outputs_that_are_no_logits_are_refused_by_type() -> None:
    text = "'mine' gave a {} for an image, not logits of shape (1, classes)"
    assert sentence(lambda: resolve({"mine": lambda x: x}), ClassifierError) == text.format("Tensor")
    assert sentence(lambda: resolve({"mine": lambda x: [1]}), ClassifierError) == text.format("list")


def test_a_bare_model_without_images_needs_names() -> None:
    text = "'mine' needs names for its outputs when no images are given; name them with classes="
    assert sentence(lambda: resolve({"mine": Sums()}, sample=None), OptionError) == text


def test_a_model_that_cannot_be_copied_is_refused_with_the_way_out() -> None:
    model = Sums()
    model.register_buffer("grown", model.scale * 2)  # belongs to a graph of gradients
    text = sentence(lambda: resolve({"mine": model}), ClassifierError)
    assert text.startswith("'mine' cannot be copied (Only Tensors created explicitly by the user")
    assert text.endswith("); wrap it as granu.ImageClassifier(model, classes), which is evaluated as it is")


def test_a_thing_given_is_picklable_where_it_is() -> None:
    assert pickle.loads(pickle.dumps(Give((1, 2))))(NoOptions(), BuildContext(load_catalog())) == (1, 2)


# images


def test_a_tensor_with_labels_is_a_dataset_in_its_own_order() -> None:
    data = given_dataset(IMAGES, [2, 0])
    assert isinstance(data, MemoryDataset) and len(data) == 2 and data.in_order and not data.named
    assert data.classes == ("0", "1", "2") and [data.image_id(i) for i in (0, 1)] == ["image#0", "image#1"]
    image, label = data.read(1)
    assert torch.equal(image, IMAGES[1]) and label == 0 and type(label) is int
    assert data.read(0)[1] == 2


def test_bytes_are_divided_by_255_and_other_numbers_become_float32() -> None:
    whole = given_dataset(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3), torch.tensor([[1]]))
    assert whole.read(0)[0].tolist() == [[[0.0, torch.tensor(0.2).item(), 1.0]]]
    fraction = given_dataset(torch.ones(1, 1, 1, 1, dtype=torch.float64), [0])
    assert fraction.read(0)[0].dtype == torch.float32 and whole.read(0)[0].dtype == torch.float32
    with_gradient = given_dataset(torch.ones(1, 1, 1, 1, requires_grad=True), [0])
    assert not with_gradient.read(0)[0].requires_grad


def test_a_dataset_is_taken_as_it_is_and_resolves_as_images() -> None:
    data = MemoryDataset(IMAGES, torch.tensor([0, 1]))
    assert given_dataset(data) is data
    resolved = resolve_images(data)
    assert str(resolved.spec) == "images" and build(resolved) is data
    assert (resolved.offer.name, resolved.offer.summary) == ("images", "given from Python")


def pairs(*sizes: int) -> Iterator[tuple[Tensor, Tensor]]:
    start = 0
    for size in sizes:
        numbers = torch.arange(start, start + size)
        yield (numbers / 16).view(-1, 1, 1, 1).expand(-1, 1, 2, 2), numbers
        start += size


def labels(data: Any) -> list[int]:
    return [data.read(i)[1] for i in range(len(data))]


def test_a_loader_is_read_until_it_has_given_as_many_as_are_asked_for() -> None:
    batches = pairs(2, 2, 2)
    assert labels(given_dataset(batches, most=4)) == [0, 1, 2, 3]
    assert next(batches)[1].tolist() == [4, 5], "the third batch was not asked for"
    assert labels(given_dataset(pairs(2, 2, 2), most=3)) == [0, 1, 2]
    assert labels(given_dataset(pairs(2, 2, 2))) == [0, 1, 2, 3, 4, 5]


def test_images_of_a_loader_may_come_one_by_one_and_as_lists() -> None:
    single = given_dataset([(torch.zeros(1, 2, 2), 1), [torch.ones(1, 2, 2), torch.tensor(2)]])
    assert labels(single) == [1, 2] and single.read(1)[0].shape == (1, 2, 2)
    listed = given_dataset([([[[[0.0, 1.0]]]], [1])])
    assert listed.read(0)[0].tolist() == [[[0.0, 1.0]]]


def test_a_pair_of_images_and_labels_is_no_loader() -> None:
    assert labels(given_dataset((IMAGES, [1, 0]))) == [1, 0]
    assert labels(given_dataset([(IMAGES, torch.tensor([1, 0])), (IMAGES, torch.tensor([2, 0]))])) == [1, 0, 2, 0]
    assert labels(given_dataset(((IMAGES, [1, 0]), (IMAGES, [2, 0])))) == [1, 0, 2, 0], "a tuple of two batches"


class Indexed:
    """A dataset as torch defines it: items by position, without an end that iteration would find."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read.append(index)
        return torch.full((1, 2, 2), index / 4), 2 - index


def test_a_dataset_of_torch_is_read_by_position_as_far_as_it_is_needed() -> None:
    every, some = Indexed(), Indexed()
    assert labels(given_dataset(every)) == [2, 1, 0] and every.read == [0, 1, 2]
    data = given_dataset(some, most=2)
    assert labels(data) == [2, 1] and some.read == [0, 1] and data.read(1)[0].tolist() == [[[0.25] * 2] * 2]


@pytest.mark.parametrize("lost", ["__len__", "__getitem__"])
def test_what_has_only_a_length_or_only_items_is_no_dataset(lost: str) -> None:
    thing = type("Part", (), {name: value for name, value in vars(Indexed).items() if name not in (lost, "__dict__")})()
    text = "images must be a tensor, a loader of (images, labels), or a dataset; not Part"
    assert sentence(lambda: given_dataset(thing), DataError) == text
    assert sentence(lambda: given_dataset(Indexed(), [0, 1, 2]), DataError) == text.replace("Part", "Indexed")


LOADER = "a loader must give (images, labels); this one gives something else"
CHANNELS = "images must be (N, C, H, W) with 1 or 3 channels, not {}"
RANGE = "images must lie in [0, 1], not {}; undo their normalisation and give it as mean= and std="
REFUSALS: list[tuple[str, tuple[Any, ...]]] = [
    ("images need labels; give their class numbers", (IMAGES,)),
    (CHANNELS.format("(3, 2, 2)"), (IMAGES[0], [0])),
    (CHANNELS.format("(2, 2, 2, 2)"), (IMAGES[:, :2], [0, 0])),
    (CHANNELS.format("(2, 4, 2, 2)"), (torch.zeros(2, 4, 2, 2), [0, 0])),
    ("there are no images", (IMAGES[:0], [])),
    ("there are no images", ([],)),
    (RANGE.format("-0.001 to 0.719"), (IMAGES - 0.001 * (IMAGES == 0), [0, 0])),
    (RANGE.format("0 to 1.01"), (IMAGES + 0.2916 * (IMAGES.max() == IMAGES), [0, 0])),
    (RANGE.format("nan to nan"), (IMAGES * torch.nan, [0, 0])),
    ("labels must be 2 class numbers, one for each image", (IMAGES, [0])),
    ("labels must be 2 class numbers, one for each image", (IMAGES, [0.0, 1.0])),
    ("labels must be class numbers from 0, not -2", (IMAGES, [0, -2])),
    ("images must be a tensor, a loader of (images, labels), or a dataset; not int", (7,)),
    ("images must be a tensor, a loader of (images, labels), or a dataset; not list", ([], [0])),
    (LOADER, ([IMAGES],)),
    (LOADER, ([(IMAGES, [0, 0], 0)],)),
    (LOADER, ([{"images": IMAGES, "labels": [0, 0]}],)),
    ("the images of a loader must have one size; resize them, or name a dataset by its spec",
     ([(IMAGES, [0, 0]), (IMAGES[..., :1], [0, 0])],)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "given"), REFUSALS, ids=[str(i) for i in range(len(REFUSALS))])
def test_images_that_cannot_be_taken_are_refused_in_one_sentence(text: str, given: tuple[Any, ...]) -> None:
    assert sentence(lambda: given_dataset(*given), DataError) == text


def test_the_ends_of_the_range_are_images() -> None:
    data = given_dataset(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), [0])
    assert data.read(0)[0].tolist() == [[[0.0, 1.0]]] and data.classes == ("0",)
