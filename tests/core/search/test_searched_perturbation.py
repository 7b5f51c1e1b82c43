"""A space and a search as a perturbation: its streams, its control, and every field of its proposal."""

from __future__ import annotations

import pytest
import torch
from searching import Line, lead, zeros

from granu import Batch, Criterion, Proposal
from granu.search.options import SEARCHES
from granu.search.perturbation import SearchedPerturbation
from granu.search.registry import make_search
from granu.spaces.base import Space
from granu.streams import Streams
from granu.types import Classifier, ClassifierEvidence

IDS = tuple("abcdefghij")


class Opened:
    """Opens a line on which the label leads by 1 - x, and notes what it was given."""

    unit = "length"

    def __init__(self, *images: float) -> None:
        self.given: tuple[object, ...] = ()
        self.space = Line(lambda x, image: torch.stack([image * (1 - x), 0 * x], dim=1), images or (1.0, 0.0))

    def open(self, classifier: Classifier, batch: Batch, noise: Streams) -> Space:
        self.given = classifier, batch, noise.path
        return self.space


def propose(factory: Opened, search: str, low_precision: bool | None = None, **options: float) -> Proposal:
    chosen = make_search(search, SEARCHES[search](**options))
    perturbation = (
        SearchedPerturbation(factory, chosen)
        if low_precision is None
        else SearchedPerturbation(factory, chosen, low_precision)
    )
    assert perturbation.unit == "length"
    count = len(factory.space.clean)
    batch = Batch(factory.space.clean, zeros(count), IDS[:count])
    noise = Streams(3, batch.ids, "perturb")
    return perturbation.perturb(torch.nn.Identity(), batch, Criterion(batch.labels), noise)  # type: ignore[arg-type]


def test_each_field_of_a_proposal_is_the_searchs() -> None:
    """The first image is misclassified at 1, the second has no gradient."""
    factory = Opened()
    proposal = propose(factory, "deepfool", margin=0.0)
    assert proposal.size.tolist() == proposal.tried.tolist() == pytest.approx([1.02, 0])
    assert proposal.forward.tolist() == [2, 1] and proposal.backward.tolist() == [1, 1]
    assert proposal.notes == (None, "the gradient is zero or not finite; the classifier may mask it")
    assert proposal.extra == {}
    assert isinstance(proposal.evidence, ClassifierEvidence)
    assert proposal.evidence.logits_at()[:, 0].tolist() == pytest.approx([-0.02, 0])
    assert factory.given[0].__class__ is torch.nn.Identity and factory.given[2] == "perturb/space"
    assert isinstance(factory.given[1], Batch) and factory.given[1].ids == IDS[:2]


def test_the_control_is_a_random_change_of_the_size_found_from_streams_of_its_own() -> None:
    factory = Opened(*[1.0] * 9, 0.0)
    proposal = propose(factory, "deepfool", margin=0.0)
    assert isinstance(proposal.control, ClassifierEvidence)
    drawn = factory.space.draw(torch.tensor([1.02] * 9 + [0]), Streams(3, IDS, "perturb/control"))
    factory.space.judged.clear()
    proposal.control.logits_at()
    assert factory.space.judged[0] == pytest.approx(drawn[:, 0].tolist())


def test_a_control_stays_within_the_space() -> None:
    class Short(Line):
        def draw(self, budget: torch.Tensor, noise: Streams) -> torch.Tensor:
            return 3 * super().draw(budget, noise)

    factory = Opened()
    factory.space = Short(lead(lambda x: 1 - x), (1.0, 1.0))
    control = propose(factory, "deepfool", margin=0.0).control
    assert isinstance(control, ClassifierEvidence)
    factory.space.judged.clear()
    control.logits_at()
    assert [abs(x) for x in factory.space.judged[0]] == pytest.approx([1.02, 1.02])


@pytest.mark.parametrize("search", ["pgd", "random"])
def test_a_search_that_spends_a_budget_needs_no_control(search: str) -> None:
    factory = Opened()
    proposal = propose(factory, search, budget=0.5, steps=2)
    assert proposal.control is None
    assert proposal.size[0].item() == proposal.tried[0].item() == 0.5  # what was kept, although nothing was found


def test_a_random_search_draws_from_streams_of_its_own() -> None:
    factory = Opened(*[1.0] * 10)
    proposal = propose(factory, "random", budget=0.5, steps=1)
    assert isinstance(proposal.evidence, ClassifierEvidence)
    drawn = factory.space.draw(torch.full((10,), 0.5), Streams(3, IDS, "perturb/search"))
    assert factory.space.judged[-1] == drawn[:, 0].tolist()


@pytest.mark.parametrize(("asked", "expected"), [(None, False), (False, False), (True, True)])
def test_precision_is_the_spaces(asked: bool | None, expected: bool) -> None:
    factory = Opened()
    propose(factory, "random", low_precision=asked, budget=0.5, steps=1)
    assert factory.space.low_precision is expected
