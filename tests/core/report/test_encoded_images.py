"""Images that a generator encoded, on the page and the sheet: the reconstruction stands in front of the changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from making_runs import perturbation, png, run_of
from matplotlib.text import Text

from granu.errors import GranuError
from granu.report.by_image import by_image
from granu.report.page import page
from granu.report.pairing import MeasuredClassifier
from granu.report.sheet import sheet
from granu.report.strips import strips
from granu.runs.gallery import changed_name, clean_name, prepared_name, reconstruction_name
from granu.runs.records import GeneratorRecord, PerturbationRecord, SourceRecord
from granu.runs.run import Run
from granu.runs.trials import FOUND, RECONSTRUCTION_WRONG, Trial

AUTO = GeneratorRecord("auto:weights=a", "f", "exact")
ARMS = {"source": 0, "prepared": 0, "reconstruction": 0}
LIKENESS = {"reconstruction_psnr": 41.23, "reconstruction_ssim": 0.99}
KEYS = ("auto:z", "auto:image")


def record(key: str, residual: bool = False) -> PerturbationRecord:
    source = SourceRecord("folder:val", "dataset")
    return perturbation(key, source=source, generator=AUTO, site_options={"residual": residual})


def found(key: str, **more: Any) -> Trial:
    fields = {"label": 0, "predicted": 1, "size": 1.0, "tried": 1.0, "arms": ARMS, "votes": {"j": 0}}
    return Trial("p1", key, "a", FOUND, unit="sigma", extra=LIKENESS, **(fields | more))


def run(*trials: Trial, residual: bool = False, prepared_like_clean: bool = False) -> Run:
    """A run with images: the clean one is larger than the others, which are 0.5, 0.6 and 0.9 bright."""
    made = run_of(trials, *(record(key, residual) for key in KEYS), perturbation("pixel:l2"))
    made.images = {
        clean_name("p1"): png(0.5, (4, 4) if prepared_like_clean else (6, 9)),
        prepared_name("p1", AUTO.spec): png(0.5),
        reconstruction_name("p1", AUTO.spec): png(0.6),
        **{changed_name("p1", "a", trial.perturbation): png(0.9) for trial in trials if trial.outcome == FOUND},
    }
    return made


def test_the_reconstruction_stands_once_in_front_of_the_changes_of_its_generator() -> None:
    (section,) = by_image(run(found("auto:z"), found("auto:image")))
    panels = section.strips[0].panels
    assert [panel.name for panel in panels] == ["clean", "prepared", "reconstruction", "z", "image"]
    assert panels[1].lines == ("sees cat",) and panels[2].lines == ("PSNR 41.2 dB", "sees cat")
    assert panels[2].image.alt == "reconstruction of p1 by auto:weights=a"
    assert panels[2].difference is not None and panels[1].difference is None
    assert len({panel.image.source for panel in panels}) == 4, "z and image are alike, nothing else is"


def test_changes_of_the_image_itself_stand_before_the_reconstruction_where_they_are_coarser() -> None:
    made = run(found("pixel:l2", arms={}), found("auto:z"))
    made.record.perturbations = {key: made.record.perturbations[key] for key in ("pixel:l2", "auto:z")}
    made.images[changed_name("p1", "a", "pixel:l2")] = png(0.7, (6, 9))
    (section,) = by_image(made)
    assert [p.name for p in section.strips[0].panels] == ["clean", "pixel:l2", "prepared", "reconstruction", "auto:z"]


def test_what_was_prepared_is_shown_only_where_it_differs() -> None:
    (section,) = by_image(run(found("auto:z"), prepared_like_clean=True))
    assert [panel.name for panel in section.strips[0].panels] == ["clean", "reconstruction", "z"]


@pytest.mark.parametrize(("residual", "difference"), [(False, 0.3), (True, 0.4)])
def test_a_difference_is_the_one_from_the_image_before_the_edit(residual: bool, difference: float) -> None:
    made = run(found("auto:z"), residual=residual)
    (strip,) = strips(MeasuredClassifier(made, "a"), ["auto:z"])
    assert strip.shots["auto:z"].difference == pytest.approx(np.full((4, 4), difference), abs=0.01)
    assert strip.encodings[AUTO.spec].difference == pytest.approx(np.full((4, 4), 0.1), abs=0.01)


def test_an_image_that_its_encoding_lost_is_shown_with_the_reconstruction_and_no_change() -> None:
    lost = found("auto:z", predicted=2, size=None, arms={**ARMS, "reconstruction": 2})
    made = run(replace(lost, outcome=RECONSTRUCTION_WRONG))
    (section,) = by_image(made)
    (strip,) = section.strips
    assert [panel.name for panel in strip.panels] == ["clean", "prepared", "reconstruction"]
    assert strip.panels[2].lines == ("PSNR 41.2 dB", "sees <b>fox</b>")
    assert strip.sentences == (
        "a sees <b>fox</b> instead of cat in the reconstruction, before any edit, so nothing was searched at z."
    )
    assert "<h3>p1<small>label cat</small></h3>" in page(made)
    with pytest.raises(GranuError, match="holds no images of a"):
        sheet(made)


def test_the_sheet_has_a_column_of_reconstructions() -> None:
    figure = sheet(run(found("auto:z"), found("auto:image")))
    shown = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    assert [shown.count(one) for one in ("reconstruction", "41.2 dB", "1.00 → dog")] == [1, 1, 2]
    assert len(figure.axes[0].get_images()) == 1 + 3 * 2


def test_a_missing_reconstruction_leaves_its_column_empty() -> None:
    made = run(found("auto:z"), residual=True)
    del made.images[reconstruction_name("p1", AUTO.spec)]
    assert [panel.name for panel in by_image(made)[0].strips[0].panels] == ["clean", "prepared", "z"]
    assert len(sheet(made).axes[0].get_images()) == 1 + 2
