"""A computation of named steps resumes behind any of its values, and a small generator is thirty lines."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from granu import Generator, Latent, Site, Step, Streams, Tail, open_tail
from granu.testing import check_generator


# --- the toy: noise -> hidden -> image, unconditional ---
@dataclass
class ToyLatent:
    z: Tensor
    labels: Tensor

    def select(self, index: Tensor) -> ToyLatent:
        return ToyLatent(self.z[index], self.labels[index])


class Toy:
    classes: Sequence[str] = ()
    labels: Sequence[int] = ()
    fingerprint = "toy-1"

    def __init__(self) -> None:
        noise = torch.Generator().manual_seed(0)
        mix, paint = torch.randn(3, 8, generator=noise), torch.randn(8, 16, generator=noise)
        self.steps = [
            Step("hidden", ("z",), lambda z: torch.tanh(z @ mix)),
            Step("image", ("hidden",), lambda hidden: torch.sigmoid(hidden @ paint).view(-1, 1, 4, 4)),
        ]

    def sites(self) -> Sequence[Site]:
        return [Site("z", (3,)), Site("hidden", (8,)), Site("image", (1, 4, 4), scale="pixel")]

    def draw(self, noise: Streams, labels: Tensor | None) -> ToyLatent:
        return ToyLatent(noise.normal(3), torch.full([len(noise)], -1))

    def tail(self, latent: Latent, sites: Sequence[str]) -> Tail:
        assert isinstance(latent, ToyLatent)
        return open_tail(self.steps, {"z": latent.z}, sites)


# --- end of the toy ---


def test_the_toy_generator_keeps_the_contract() -> None:
    toy: Generator = Toy()
    check_generator(toy)


def branching() -> list[Step]:
    """a -> b -> d, a -> c -> d -> out: `c` does not pass `b`."""
    return [
        Step("b", ("a",), lambda a: 2 * a),
        Step("c", ("a",), lambda a: a + 1),
        Step("d", ("b", "c"), lambda b, c: b * c),
        Step("out", ("d",), lambda d: d.sum(dim=1, keepdim=True)),
    ]


def inputs() -> dict[str, Tensor]:
    return {"a": torch.arange(6.0).view(3, 2)}


@pytest.mark.parametrize("sites", [["a"], ["b"], ["c"], ["d"], ["out"], ["b", "d"], ["out", "a"]])
def test_a_tail_equals_the_whole_computation(sites: list[str]) -> None:
    everything = open_tail(branching(), inputs(), ["a", "b", "c", "d", "out"])
    tail = open_tail(branching(), inputs(), sites)
    edits = {site: torch.full_like(tail.clean[site], 0.3) for site in sites}
    assert torch.equal(tail(edits), everything(edits))
    assert torch.equal(tail({}), everything({}))
    assert all(torch.equal(tail.clean[site], everything.clean[site]) for site in sites)


def test_a_tail_without_sites_gives_the_image_as_it_is() -> None:
    tail = open_tail(Toy().steps, {"z": torch.ones(2, 3)}, [])
    whole = open_tail(Toy().steps, {"z": torch.ones(2, 3)}, ["z"])
    assert torch.equal(tail({}), whole({})) and not tail.clean


def test_an_edit_is_added_after_the_step_and_reaches_only_its_readers() -> None:
    tail = open_tail(branching(), inputs(), ["b"])
    a, edit = inputs()["a"], torch.ones(3, 2)
    assert torch.equal(tail({"b": edit}), ((2 * a + edit) * (a + 1)).sum(dim=1, keepdim=True))


def test_only_the_steps_behind_a_site_are_computed_again() -> None:
    assert [step.name for step in open_tail(branching(), inputs(), ["d"]).steps] == ["out"]
    assert set(open_tail(branching(), inputs(), ["d"]).values) == {"d"}
    assert not open_tail(branching(), inputs(), ["out"]).steps


def test_selecting_images_selects_every_value() -> None:
    tail = open_tail(branching(), inputs(), ["b", "d"])
    index = torch.tensor([2, 0])
    chosen = tail.select(index)
    edits = {"b": torch.rand(3, 2), "d": torch.rand(3, 2)}
    assert torch.equal(chosen({name: edit[index] for name, edit in edits.items()}), tail(edits)[index])
    assert torch.equal(chosen.clean["d"], tail.clean["d"][index])


def test_a_value_is_freed_before_the_next_step_but_one() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def step(x: Tensor) -> Tensor:
        nonlocal most
        most = max(most, sum(ref() is not None for ref in alive))
        result = x + 1
        alive.append(weakref.ref(result))
        return result

    chain = [Step(f"x{i + 1}", (f"x{i}",), step) for i in range(8)]
    tail = open_tail(chain, {"x0": torch.zeros(1)}, ["x0"])
    assert most == 0  # x0 is an input: nothing had to be computed
    tail({"x0": torch.ones(1)})
    assert most == 1  # only the step's own input
    alive.clear()
    most = 0
    open_tail(chain, {"x0": torch.zeros(1)}, ["x7"])
    assert most == 1
    alive.clear()
    most = 0
    open_tail(chain, {"x0": torch.zeros(1)}, ["x2"])({"x2": torch.ones(1)})
    assert most == 2  # the tail keeps the clean x2 beside


def test_a_value_that_nothing_computes_is_refused() -> None:
    pair = Step("x", ("q", "a", "p"), lambda q, a, p: a)
    for steps, given, sites, message in [
        (branching(), {}, ["b"], "step 'b' reads a, which nothing before it computes"),
        ([pair], inputs(), ["a"], "step 'x' reads p, q, which nothing before it computes"),
        (branching()[::-1], inputs(), ["a"], "step 'out' reads d, which nothing before it computes"),
        (branching(), inputs(), ["layer9"], "there is no value layer9 among the inputs and steps"),
        (branching(), inputs(), ["z", "b", "y"], "there is no value y, z among the inputs and steps"),
    ]:
        with pytest.raises(ValueError) as caught:
            open_tail(steps, given, sites)  # type: ignore[arg-type]
        assert str(caught.value) == message


def test_edits_of_other_sites_are_refused() -> None:
    for sites, edits, message in [
        (["b"], ["c"], "this tail was opened for b, not for c"),
        (["b", "a"], ["b", "d", "c"], "this tail was opened for b, a, not for c, d"),
    ]:
        with pytest.raises(ValueError) as caught:
            open_tail(branching(), inputs(), sites)({site: torch.zeros(3, 2) for site in edits})
        assert str(caught.value) == message


def test_a_tail_holds_the_clean_values_that_it_needs_and_no_others() -> None:
    tail = open_tail(branching(), inputs(), ["b"])
    assert [step.name for step in tail.steps] == ["d", "out"] and tail.output == "out"
    assert set(tail.values) == {"b", "c"} and set(tail.clean) == {"b"}
    both = open_tail(branching(), inputs(), ["d", "a"])
    assert set(both.values) == {"a"} and list(both.clean) == ["d", "a"]
    assert not both.clean["d"].requires_grad


def test_opening_a_tail_computes_no_gradient_and_each_step_once_at_most() -> None:
    calls: list[tuple[str, bool]] = []

    def noted(step: Step) -> Step:
        def compute(*values: Tensor) -> Tensor:
            calls.append((step.name, torch.is_grad_enabled()))
            return step.compute(*values)

        return Step(step.name, step.reads, compute)

    steps = [noted(step) for step in branching()]
    tail = open_tail(steps, inputs(), ["b", "d"])
    assert calls == [("b", False), ("c", False), ("d", False)]
    calls.clear()
    tail({})
    assert calls == [("d", True), ("out", True)]
    calls.clear()
    open_tail(steps, inputs(), ["b"])
    assert calls == [("b", False), ("c", False)]
    calls.clear()
    open_tail(steps, inputs(), [])
    assert [name for name, _ in calls] == ["b", "c", "d", "out"]


def test_a_selected_tail_keeps_its_steps_and_output() -> None:
    tail = open_tail(branching(), inputs(), ["b"])
    chosen = tail.select(torch.tensor([1]))
    assert chosen.steps is tail.steps and chosen.output == "out"
    assert torch.equal(chosen.values["c"], tail.values["c"][1:2]) and torch.equal(tail.values["c"], inputs()["a"] + 1)
