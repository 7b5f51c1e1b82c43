"""Values that modules exchange: batches and criteria, and the selection of some of their images."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from granu import Batch, Criterion, Site


@dataclass
class Drawn:
    labels: Tensor

    def select(self, index: Tensor) -> Drawn:
        return Drawn(self.labels[index])


def test_a_selected_batch_holds_everything_of_its_images_in_the_order_asked_for() -> None:
    labels = torch.tensor([4, 5, 6])
    batch = Batch(torch.rand(3, 1, 2, 2), labels, ("a", "b", "c"), Drawn(labels), ("x", "y", "z"))
    chosen = batch.select(torch.tensor([2, 0]))
    assert torch.equal(chosen.images, batch.images[[2, 0]]) and chosen.labels.tolist() == [6, 4]
    assert chosen.ids == ("c", "a") and chosen.hashes == ("z", "x")
    assert chosen.latent is not None and chosen.latent.labels.tolist() == [6, 4]


def test_a_selected_batch_has_no_latents_or_hashes_where_there_were_none() -> None:
    chosen = Batch(torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), ("a", "b")).select(torch.tensor([1]))
    assert chosen.latent is None and chosen.hashes is None and chosen.ids == ("b",)


def test_the_objective_is_the_lead_of_the_label_over_the_best_other_class() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [-3.0, -1.0, -2.5]])
    criterion = Criterion(torch.tensor([0, 1, 1]))
    assert criterion.margin == 0 and criterion.objective(logits).tolist() == [0.5, -2.0, 1.5]
    assert criterion.reached(logits).tolist() == [False, True, False]


@pytest.mark.parametrize(("margin", "reached"), [(0.0, True), (0.9, True), (1.0, False), (1.1, False)])
def test_it_is_reached_where_another_class_leads_by_more_than_the_margin(margin: float, reached: bool) -> None:
    criterion = Criterion(torch.tensor([0]), margin)
    assert criterion.reached(torch.tensor([[1.0, 2.0]])).item() is reached
    assert not Criterion(torch.tensor([0])).reached(torch.tensor([[1.0, 1.0]])).item()  # a tie is not a lead


def test_a_selected_criterion_keeps_the_margin() -> None:
    chosen = Criterion(torch.tensor([0, 1, 2]), 0.7).select(torch.tensor([2, 1]))
    assert chosen.labels.tolist() == [2, 1] and chosen.margin == 0.7


def test_a_site_is_measured_in_standard_deviations_unless_it_says_otherwise() -> None:
    assert (Site("z", (4,)).summary, Site("z", (4,)).scale) == ("", "sigma")
