"""The writer of a run: a locked folder, records merged over commands, and refusals before anything is mixed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from granu import RunFolderError
from granu.runs.records import (
    ClassifierRecord,
    CommandRecord,
    FailureRecord,
    PerturbationRecord,
    SiteRecord,
    SourceRecord,
)
from granu.runs.run import read_run
from granu.runs.trials import CLEAN_WRONG, FOUND, Trial
from granu.runs.writer import RunWriter, open_run

PIXEL = PerturbationRecord(
    "pixel", "pixel", None, {}, "pixel", "granu", {}, SourceRecord("folder:val", "dataset"), judges=("judge",)
)
SITE = PerturbationRecord(
    "tiny:z", "tiny", "z", {}, "tiny", "tiny 1.0", {}, SourceRecord("tiny", "generator", "tiny-1"),
    sites=(SiteRecord("z", (4,), "sigma"), SiteRecord("image", (1, 8, 8), "pixel")), weights={"w": "1"},
)  # fmt: skip
NET = ClassifierRecord("net", "zoo", "granu", {}, ("a", "b"), "f00", {"net": "1"})
JUDGE = ClassifierRecord("judge", "zoo", "granu", {}, ("a", "b"), "f11")
TRIAL = Trial("a", "pixel", "net", FOUND, label=0, predicted=1, size=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that is not there yet."""
    return tmp_path / "run"


def opened(folder: Path | None) -> RunWriter:
    return open_run(folder, 0, "float32")


@pytest.fixture
def measured(folder: Path) -> Path:
    """A run with one trial of `pixel` on `net`, and records of `tiny:z`, which has none."""
    with opened(folder) as writer:
        writer.merge([PIXEL, SITE], [NET, JUDGE])
        writer.append([TRIAL], {})
    return folder


def test_a_second_writer_is_refused_until_the_first_has_ended(folder: Path) -> None:
    with opened(folder), pytest.raises(RunFolderError, match=r"another granu is writing to .*run; wait for it"):
        opened(folder)
    opened(folder).close()


def test_a_refused_opening_does_not_keep_the_lock(measured: Path) -> None:
    with pytest.raises(RunFolderError, match="seed 0, not 7; name another folder with --out, or start over"):
        open_run(measured, 7, "float32")
    with pytest.raises(RunFolderError, match="precision float32, not bfloat16"):
        open_run(measured, 0, "bfloat16")
    opened(measured).close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"cannot write to .*file/run: Not a directory; name another folder"):
        opened(tmp_path / "file" / "run")


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_other_files_is_neither_mixed_with_a_run_nor_cleared(folder: Path, fresh: bool) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(RunFolderError, match=r"run holds other files and no run; name an empty or new folder"):
        open_run(folder, 0, "float32", fresh)
    assert [file.name for file in folder.rglob("*")] == ["images", "holiday.png"]


@pytest.mark.parametrize("fresh", [False, True])
def test_trials_without_their_record_are_not_adopted(measured: Path, fresh: bool) -> None:
    (measured / "run.json").unlink()
    with pytest.raises(RunFolderError, match=r"holds trials, but its run.json, which says how .* is missing; put it"):
        open_run(measured, 7, "float32", fresh)
    assert (measured / "trials.jsonl").read_text()


def test_a_run_that_was_interrupted_before_its_first_record_starts_again(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / ".lock").touch()
    with opened(folder) as writer:
        writer.append([TRIAL], {})
    assert read_run(folder).trials == [TRIAL]


def test_a_line_is_on_the_disk_before_the_writer_goes_on(folder: Path) -> None:
    with opened(folder) as writer:
        writer.append([TRIAL], {"a/clean.png": b"png"})
        assert (folder / "trials.jsonl").read_text() == TRIAL.line()
        assert (folder / "images/a/clean.png").read_bytes() == b"png"
        assert writer.done == {("net", "pixel", "a")} and writer.run.trials == [TRIAL]


def test_a_line_that_a_crash_cut_off_is_dropped_and_the_rest_goes_on(folder: Path) -> None:
    opened(folder).close()
    (folder / "trials.jsonl").write_text(TRIAL.line() + '{"image":"b","pert')
    with opened(folder) as writer:
        assert writer.run.trials == [TRIAL]
        writer.append([replace(TRIAL, image="b")], {})
    assert [trial.image for trial in read_run(folder).trials] == ["a", "b"]


def test_fresh_starts_over_and_keeps_files_that_granu_did_not_write(measured: Path) -> None:
    (measured / "notes.txt").write_text("mine")
    (measured / "images" / "old.png").write_bytes(b"old")
    with open_run(measured, 7, "bfloat16", fresh=True) as writer:
        assert writer.done == set() and writer.record.perturbations == {} and writer.record.seed == 7
    assert read_run(measured).trials == [] and not list((measured / "images").iterdir())
    assert (measured / "notes.txt").read_text() == "mine"


def test_fresh_waits_for_no_lock_but_deletes_nothing_of_a_run_that_is_written(measured: Path) -> None:
    before = (measured / "trials.jsonl").read_bytes()
    with opened(measured), pytest.raises(RunFolderError, match="another granu is writing"):
        open_run(measured, 0, "float32", fresh=True)
    assert (measured / "trials.jsonl").read_bytes() == before


def test_records_of_a_later_command_are_added_to_the_earlier_ones(measured: Path) -> None:
    other = replace(PIXEL, key="pixel:linf", source=SourceRecord("tiny", "generator", "tiny-1"))
    with opened(measured) as writer:
        writer.merge([other], [replace(NET, name="second")])
    record = read_run(measured).record
    assert list(record.perturbations) == ["pixel", "tiny:z", "pixel:linf"]
    assert record.perturbations["pixel"] == PIXEL and list(record.classifiers) == ["net", "judge", "second"]


def test_the_record_of_a_repeated_perturbation_keeps_what_was_measured(measured: Path) -> None:
    with opened(measured) as writer:
        writer.describe_perturbation("pixel", "pixel L2", {}, {"w": "1"})
        writer.merge([PIXEL], [NET])
    assert read_run(measured).record.perturbations["pixel"] == replace(PIXEL, unit="pixel L2", weights={"w": "1"})


Change = Callable[[RunWriter], None]
CONFLICTS: list[tuple[str, Change, str]] = [
    ("images", lambda w: w.merge([replace(PIXEL, source=SourceRecord("tiny", "generator"))], []),
     r"`pixel` was measured differently \(images folder:val before, tiny now\)"),
    ("judges", lambda w: w.merge([replace(PIXEL, judges=())], []), "judges judge before, none now"),
    ("classifier", lambda w: w.merge([], [replace(NET, fingerprint="f99")]),
     "the classifier 'net' is not the one measured there: its weights or preprocessing changed"),
    ("judge", lambda w: w.merge([], [replace(JUDGE, fingerprint="f99")]), "the classifier 'judge' is not the one"),
    ("weights", lambda w: w.merge([], [replace(NET, weights={"net": "2"})]), "the weights 'net' are not those"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), [c[1:] for c in CONFLICTS], ids=[c[0] for c in CONFLICTS])
def test_what_would_mix_incomparable_trials_is_refused_with_both_cures(
    measured: Path, change: Change, sentence: str
) -> None:
    before = (measured / "run.json").read_bytes()
    with opened(measured) as writer, pytest.raises(RunFolderError, match=sentence) as refused:
        change(writer)
    assert str(refused.value).endswith(f"in {measured}; name another folder with --out, or start over with --fresh")
    assert (measured / "run.json").read_bytes() == before


def test_a_retrained_guide_is_refused(folder: Path) -> None:
    with opened(folder) as writer:
        writer.merge([replace(PIXEL, judges=(), guides=("judge",))], [NET, JUDGE])
        writer.append([TRIAL], {})
    with opened(folder) as writer, pytest.raises(RunFolderError, match="the classifier 'judge' is not the one"):
        writer.merge([], [replace(JUDGE, fingerprint="f99")])


def test_what_has_no_trials_yet_may_change(measured: Path) -> None:
    now = replace(SITE, source=SourceRecord("tiny", "generator", "tiny-2"), weights={"w": "2"})
    with opened(measured) as writer:
        writer.merge([now], [])
    assert read_run(measured).record.perturbations["tiny:z"] == now


def test_a_classifier_without_trials_may_change(folder: Path) -> None:
    with opened(folder) as writer:
        writer.merge([replace(PIXEL, judges=())], [NET, JUDGE])
        writer.append([TRIAL], {})
        writer.merge([], [replace(JUDGE, fingerprint="f99")])
        assert writer.record.classifiers["judge"].fingerprint == "f99"


def test_statistics_of_sites_complete_their_record_with_the_most_neurons_clamped(folder: Path) -> None:
    with opened(folder) as writer:
        writer.merge([SITE], [])
        for clamped in (1, 3, 2):
            writer.describe_perturbation(
                "tiny:z", "sigma (RMS)", {"z": {"samples": 9, "neurons": 4, "clamped": clamped}}, {"w": "1"}
            )
        writer.describe_perturbation("tiny:z", "", {}, {})
    record = read_run(folder).record.perturbations["tiny:z"]
    assert record.unit == "sigma (RMS)" and record.weights == {"w": "1"}
    assert record.sites == (SiteRecord("z", (4,), "sigma", 9, 4, 3), SiteRecord("image", (1, 8, 8), "pixel"))


def test_other_weights_that_show_only_while_measuring_are_refused(folder: Path) -> None:
    with opened(folder) as writer:
        writer.merge([SITE], [])
        with pytest.raises(RunFolderError, match="the weights 'w' are not those measured there"):
            writer.describe_perturbation("tiny:z", "", {}, {"w": "2"})


def test_equal_failures_of_one_result_are_counted_together(folder: Path) -> None:
    failure = FailureRecord("net", "pixel", "pixel", "no luck", 2, "Traceback")
    with opened(folder) as writer:
        for one in (
            failure,
            replace(failure, images=3),
            replace(failure, reason="other"),
            replace(failure, classifier="x"),
        ):
            writer.fail(one)
    failures = read_run(folder).record.failures
    assert [(f.classifier, f.reason, f.images) for f in failures] == [
        ("net", "no luck", 5), ("net", "other", 2), ("x", "no luck", 2),
    ]  # fmt: skip


def test_a_new_command_forgets_the_failures_of_the_last_and_keeps_its_own_line(folder: Path) -> None:
    with opened(folder) as writer:
        writer.begin(CommandRecord("one", "2026", {}))
        writer.fail(FailureRecord("net", "pixel", "pixel", "no luck", 2))
        writer.begin(CommandRecord("two", "2027", {}))
    record = read_run(folder).record
    assert [command.command for command in record.commands] == ["one", "two"] and record.failures == []


def test_what_cannot_be_written_is_one_sentence_and_no_trial_without_its_image(folder: Path) -> None:
    with opened(folder) as writer:
        (folder / "images" / "a").write_text("in the way of a folder")
        with pytest.raises(RunFolderError, match=r"cannot write to .*run: File exists; what was measured is kept"):
            writer.append([TRIAL], {"a/clean.png": b"png"})
    assert read_run(folder).trials == []


def test_trials_of_images_that_do_not_count_are_kept_too() -> None:
    writer = opened(None)
    writer.append([replace(TRIAL, outcome=CLEAN_WRONG)], {})
    assert writer.done == {("net", "pixel", "a")}


def test_every_difference_is_named(measured: Path) -> None:
    now = replace(PIXEL, source=SourceRecord("tiny", "generator"), judges=())
    with opened(measured) as writer, pytest.raises(RunFolderError) as raised:
        writer.merge([now], [])
    assert str(raised.value) == (
        f"`pixel` was measured differently (images folder:val before, tiny now; judges judge before, none now) in "
        f"{measured}; name another folder with --out, or start over with --fresh"
    )


def test_trials_and_images_of_several_outcomes_add_up(folder: Path) -> None:
    other = replace(TRIAL, image="b")
    with opened(folder) as writer:
        writer.append([TRIAL], {"a/clean.png": b"clean"})
        (folder / "images" / "a").rename(folder / "moved")
        (folder / "images").rmdir()  # somebody tidied up meanwhile
        writer.append([other], {"b/clean.png": b"b", "b/net--pixel.png": b"changed"})
        writer.append([], {"b/net--pixel.png": b"again"})
        assert writer.run.trials == [TRIAL, other] and writer.done == {TRIAL.key, other.key}
    assert read_run(folder).trials == [TRIAL, other]
    assert (folder / "images/b/net--pixel.png").read_bytes() == b"again"


def test_a_joined_failure_is_on_the_disk_at_once(folder: Path) -> None:
    failure = FailureRecord("net", "pixel", "pixel", "no luck", 2)
    with opened(folder) as writer:
        writer.fail(failure)
        writer.fail(replace(failure, images=3))
        assert read_run(folder).record.failures == [replace(failure, images=5)]
        writer.fail(replace(failure, images=1, traceback="Traceback"))  # a later traceback is kept
        writer.fail(failure)
        assert read_run(folder).record.failures == [replace(failure, images=8, traceback="Traceback")]


def test_records_are_indented_json_and_what_json_does_not_know_becomes_text(folder: Path) -> None:
    with opened(folder) as writer:
        writer.begin(CommandRecord("one", "2026", {"where": Path("here")}))
        expected = writer.record.as_json()
    expected["commands"][0]["made_with"]["where"] = "here"
    assert (folder / "run.json").read_text() == json.dumps(expected, indent=2) + "\n"


def test_a_full_disk_is_one_sentence_and_closing_hides_it_behind_no_other(folder: Path) -> None:
    with pytest.raises(RunFolderError) as raised, opened(folder) as writer:
        assert writer._lines is not None
        with Path("/dev/full").open("w") as full:
            os.dup2(full.fileno(), writer._lines.fileno())
        writer.append([TRIAL], {})
    assert str(raised.value) == (
        f"cannot write to {folder}: No space left on device; what was measured is kept, so mend that and give the "
        "same command again"
    )
    assert writer.run.trials == [] and writer.done == set()
    opened(folder).close()


def test_a_run_in_memory_has_the_seed_and_precision_that_it_was_opened_with() -> None:
    with open_run(None, 7, "bfloat16") as writer:
        assert (writer.record.seed, writer.record.precision, writer.run.folder) == (7, "bfloat16", None)


def test_fresh_needs_no_earlier_run(folder: Path) -> None:
    with open_run(folder, 7, "float32", fresh=True) as writer:
        assert writer.record.seed == 7
    assert read_run(folder).trials == []


def test_a_site_without_clamped_neurons_has_none(folder: Path) -> None:
    with opened(folder) as writer:
        writer.merge([SITE], [])
        writer.describe_perturbation("tiny:z", "", {"z": {"samples": 9, "neurons": 4, "clamped": 0}}, {})
        assert writer.record.perturbations["tiny:z"].sites[0].clamped == 0


WHOLE = [
    (7, "float32", "{} was measured with seed 0, not 7; name another folder with --out, or start over with --fresh"),
    (0, "bfloat16", "{} was measured with precision float32, not bfloat16; name another folder with --out, or start "
     "over with --fresh"),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "precision", "sentence"), WHOLE)
def test_another_seed_or_precision_is_one_whole_sentence(
    measured: Path, seed: int, precision: str, sentence: str
) -> None:
    with pytest.raises(RunFolderError) as raised:
        open_run(measured, seed, precision)
    assert str(raised.value) == sentence.format(measured)
