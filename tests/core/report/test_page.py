"""The page image by image and class by class: what each part shows, and that it can be read without the images."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from making_runs import png, run_of, spending

from granu.report.by_class import by_class
from granu.report.by_image import by_image
from granu.report.page import page
from granu.report.rows import rows
from granu.runs.gallery import changed_name, clean_name
from granu.runs.run import Run
from granu.runs.trials import CLEAN_WRONG, FAILED, FOUND, Trial


def test_each_saved_image_has_a_strip_per_classifier_coarse_to_fine(matrix: Run) -> None:
    first, second = by_image(matrix)
    assert (first.image, second.image) == ("tiny#2", "tiny#10") and first.label == "cat"
    assert [strip.classifier for strip in first.strips] == ["zoo:plain", "zoo:hard"]
    plain = first.strips[0]
    assert [panel.name for panel in plain.panels] == ["clean", "layer1", "image"]
    assert plain.panels[0].image != plain.panels[1].image
    trial = next(t for t in matrix.trials if t.key == ("zoo:plain", "tiny:layer1", "tiny#2"))
    assert plain.panels[1].lines == (f"{trial.size:.2f} sigma (RMS)", "sees <b>fox</b>", "1 of 1 judges see cat")
    assert plain.panels[1].confirmed and not second.strips[0].panels[1].confirmed
    assert plain.sentences.startswith("zoo:plain sees <b>fox</b> instead of cat after a change of ")


def test_an_image_without_a_found_change_says_so(matrix: Run) -> None:
    missed = next(t for t in matrix.trials if t.image in ("tiny#2", "tiny#10") and t.outcome == "not-found")
    section = next(one for one in by_image(matrix) if one.image == missed.image)
    strip = next(one for one in section.strips if one.classifier == missed.classifier)
    panel = next(one for one in strip.panels if one.title == missed.perturbation)
    assert panel.lines == ("not found",) and not panel.confirmed
    assert f"was found at {panel.name} (up to 2.50" in strip.sentences


def test_a_classifier_that_misclassifies_the_clean_image_has_a_sentence_and_no_changed_image() -> None:
    trials = [
        Trial("p1", "tiny:z", "a", FOUND, label=0, predicted=1, size=1.0, tried=1.0),
        Trial("p1", "tiny:z", "b", CLEAN_WRONG, label=0, predicted=1),
    ]
    run = run_of(trials)
    run.images = {clean_name("p1"): png(0.5), changed_name("p1", "a", "tiny:z"): png(0.7)}
    (section,) = by_image(run)
    assert [len(strip.panels) for strip in section.strips] == [2, 1]
    assert section.strips[1].sentences == "b sees dog instead of cat before any change, so nothing was searched."


def test_every_image_has_an_alternative_text(matrix: Run) -> None:
    text = page(matrix)
    alts = [unescape(alt) for alt in re.findall(r'<img [^>]*alt="([^"]+)"', text)]
    assert len(alts) == text.count("<img ") == 20
    assert "tiny#2 changed by tiny:layer1: zoo:plain sees <b>fox</b>" in alts
    assert "tiny#2 before any change, label cat" in alts
    assert len(re.findall(r'<svg role="img" aria-label="[^"]+"', text)) == text.count("<svg ") == 2


def test_wide_parts_of_the_page_scroll_in_boxes_of_their_own(matrix: Run) -> None:
    """A phone shows the page at its own width if nothing else is wider than the window."""
    text = page(matrix)
    assert text.count("<table") == text.count('<div class="wide">\n<table') == 1
    assert text.count("<svg") == text.count('<figure class="plot"><svg') == 2
    assert re.search(r"\.wide \{ overflow-x: auto", text) and re.search(r"figure\.plot \{ overflow-x: auto", text)
    assert re.search(r"\.strip \{[^}]*flex-wrap: wrap", text)
    assert re.search(r'<svg [^>]*style="min-width: [1-9]\d\dpx"', text)


def test_more_images_than_a_page_shows_are_folded(matrix: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "<summary>1 more</summary>" not in page(matrix)
    monkeypatch.setattr("granu.report.page.DEFAULT_KEEP", 1)
    folded = page(matrix)
    assert folded.index("<h3>tiny#2<") < folded.index("<summary>1 more</summary>") < folded.index("<h3>tiny#10<")


def test_large_images_are_thumbnails_and_small_ones_whole() -> None:
    trial = Trial("p1", "tiny:z", "a", FOUND, label=0, predicted=1, size=1.0, tried=1.0)
    run = run_of([trial])
    for side, kind, sharp in ((128, "png", True), (129, "jpeg", False)):
        run.images = {name: png(0.5, (side, side)) for name in (clean_name("p1"), changed_name("p1", "a", "tiny:z"))}
        shown = by_image(run)[0].strips[0].panels[1].image
        assert shown.source.startswith(f"data:image/{kind};base64,") and shown.sharp is sharp
    assert page(run).count('class="sharp"') == 0


def test_the_headline_stands_first_on_the_page_and_only_where_there_is_one(matrix: Run) -> None:
    text = page(matrix)
    assert "<p>zoo:hard holds better than zoo:plain: the changes that fool it are" in text
    assert text.index('class="headline"') < text.index('class="facts"')
    matrix.trials = [t for t in matrix.trials if t.classifier == "zoo:plain"]
    assert 'class="headline"' not in page(matrix)


def classes(*sizes: tuple[int, float | None], **more: object) -> list[Trial]:
    """A trial for each (label, size), None for a failed search."""
    return [
        Trial(f"p{n}", "tiny:z", "a", FAILED if size is None else FOUND, label=label, size=size, unit="sigma", **more)  # type: ignore[arg-type]
        for n, (label, size) in enumerate(sizes)
    ]


def test_the_table_of_classes_has_what_was_found_and_the_median_of_each() -> None:
    run = run_of(classes(*((0, 1.0 + n) for n in range(7)), *((1, 10.0) for _ in range(6)), (2, 5.0)))
    (table,) = by_class(run, rows(run))
    assert [(column.name, column.unit) for column in table.columns] == [("z", "sigma")]
    assert [line[:2] for line in table.lines] == [("cat", "7 of 7"), ("dog", "6 of 6")], "one image is no class"
    assert table.lines[0][2].startswith("4.00 [1.00–")
    text = page(run)
    assert "<h2>By class</h2>" in text and '<th scope="row">dog</th><td>6 of 6</td><td>10.0<span>[' in text


def test_medians_of_few_searches_are_not_told() -> None:
    run = run_of(classes(*((0, 1.0) for _ in range(6)), *((1, 10.0) for _ in range(5)), (1, None)))
    (table,) = by_class(run, rows(run))
    assert table.lines[1] == ("dog", "5 of 6", "–")


def test_images_that_were_misclassified_are_in_no_class() -> None:
    trials = classes(*((n % 2, 1.0) for n in range(14)))
    run = run_of([*trials[:-1], replace(trials[-1], outcome=CLEAN_WRONG)])
    (table,) = by_class(run, rows(run))
    assert [line[1] for line in table.lines] == ["7 of 7", "6 of 6"]


def test_a_budget_has_no_median_by_class_and_one_class_no_table() -> None:
    trials = classes(*((n % 2, 1.0) for n in range(12)))
    run = run_of(trials, spending("tiny:z", 1.0))
    assert [line for table in by_class(run, rows(run)) for line in table.lines] == [
        ("cat", "6 of 6"),
        ("dog", "6 of 6"),
    ]
    alone = run_of([replace(trial, label=0) for trial in trials])
    assert by_class(alone, rows(alone)) == [] and "By class" not in page(alone)
