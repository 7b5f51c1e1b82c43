"""Folders, parquet files and hub datasets give the same images under the same ids every time."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from granu import DataError, OptionError
from granu.plugins.catalog import load_catalog
from granu.plugins.context import BuildContext
from granu.runs.plan import Request
from granu.runs.planning import make_plan
from granu.runs.sources import DatasetSource, Unreadable
from granu.testing import contracts
from granu.types import Dataset

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def png(value: int, height: int = 4, width: int = 6) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def build(spec: str) -> Dataset:
    return BuildContext(load_catalog()).build("dataset", spec)


def planned(data: str) -> None:
    catalog = load_catalog()
    make_plan(catalog, BuildContext(catalog), Request(("pixel:l2",), ("zoo:mnist-cnn",), judges=(), data=data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "val"
    for label, name in enumerate(("n02", "n01", "n03")):
        (root / name / "deep").mkdir(parents=True)
        (root / name / "b.png").write_bytes(png(10 * label))
        (root / name / "deep" / "a.PNG").write_bytes(png(10 * label + 1, 7, 5))
    (root / "n01" / "notes.txt").write_text("no image")
    (root / "n01" / ".hidden.png").write_bytes(b"")
    return root


def write_parquet(file: Path, rows: list[dict[str, Any]], names: list[str] | None = None, group: int = 2) -> None:
    table = pyarrow.Table.from_pylist(rows)
    if names:
        about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pyarrow.parquet.write_table(table, file, row_group_size=group)


def rows(count: int = 5) -> list[dict[str, Any]]:
    return [{"image": {"bytes": png(10 * i), "path": None}, "label": i % 3} for i in range(count)]


def test_a_folder_per_class(folder: Path) -> None:
    data = build(f"folder:{folder}")
    assert data.classes == ("n01", "n02", "n03")
    assert [data.image_id(i) for i in range(2)] == ["n01/b.png", "n01/deep/a.PNG"]
    assert len(data) == 6 and data.read(0)[1] == 0 and data.read(5)[1] == 2
    contracts.check_dataset(data, range(6))


def test_what_is_no_readable_image_neither_hangs_nor_vanishes(folder: Path) -> None:
    os.mkfifo(folder / "n01" / "pipe.png")
    (folder / "n01" / "photo.HEIC").write_bytes(b"ftypheic")
    Path(os.fsdecode(os.fsencode(folder) + b"/n03/\xff.png")).write_bytes(png(7))
    data = build(f"folder:{folder}")
    ids = [data.image_id(i) for i in range(len(data))]
    assert len(ids) == 8 and "n01/pipe.png" not in ids
    with pytest.raises(DataError, match=r"n01/photo.HEIC is in a format .*; save it as PNG or JPEG"):
        data.read(ids.index("n01/photo.HEIC"))
    assert data.read(ids.index("n03/\\xff.png"))[1] == 2


def test_a_table_renames_classes(folder: Path) -> None:
    table = folder.parent / "names.tsv"
    table.write_text("n01\ttench\nn02\tgoldfish\n")
    with pytest.raises(DataError, match="no line for the class 'n03'"):
        build(f"folder:{folder},names={table}")
    table.write_text("n01\ttench\nn02\tgoldfish\nn03\tgreat white shark\n")
    assert build(f"folder:{folder},names={table}").classes == ("tench", "goldfish", "great white shark")


def test_images_are_converted_to_one_size_and_colour(folder: Path) -> None:
    data = build(f"folder:{folder},size=3,colour=grey")
    assert {tuple(data.read(i)[0].shape) for i in range(6)} == {(1, 3, 3)}


def test_a_broken_image_is_reported_and_the_others_are_read(folder: Path) -> None:
    (folder / "n02" / "b.png").write_bytes(b"broken")
    source = DatasetSource(build(f"folder:{folder},size=4"), seed=0, device="cpu")
    read = list(source.batches(range(6)))
    broken = [item for item in read if isinstance(item, Unreadable)]
    assert [item.image for item in broken] == ["n02/b.png"]
    assert sum(len(item.ids) for item in read if not isinstance(item, Unreadable)) == 5


def test_parquet_with_hugging_faces_class_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", rows(), ["cat", "dog", "eel"])
    data = build(f"parquet:{tmp_path / 'a.parquet'}")
    assert data.classes == ("cat", "dog", "eel") and len(data) == 5
    assert data.image_id(3) == "a.parquet#3"
    for i in (4, 0, 3):
        image, label = data.read(i)
        assert label == i % 3
        torch.testing.assert_close(image, torch.full((3, 4, 6), 10 * i / 255))
    contracts.check_dataset(data, range(5))


def test_no_two_threads_read_one_parquet_file_at_once(tmp_path: Path) -> None:
    # pyarrow crashes where they do, though not every time
    rows = [{"image": {"bytes": png(i), "path": None}, "label": i % 3} for i in range(60)]
    write_parquet(tmp_path / "many.parquet", rows, group=2)
    dataset: Any = build(f"parquet:{tmp_path / 'many.parquet'}")
    reading, overlaps = threading.Lock(), []

    class Watched:
        def __init__(self, file: Any) -> None:
            self.file, self.metadata = file, file.metadata

        def read_row_group(self, *words: Any, **options: Any) -> Any:
            overlaps.append(not reading.acquire(blocking=False))
            time.sleep(0.001)
            reading.release()
            return self.file.read_row_group(*words, **options)

    dataset.files = [Watched(file) for file in dataset.files]
    order = [index * 7 % 60 for index in range(60)]  # from one row group to another
    with ThreadPoolExecutor(16) as threads:
        values = [round(float(image.mean()) * 255) for image, _ in threads.map(dataset.read, order)]
    assert values == order and len(overlaps) > 30 and not any(overlaps)


def test_a_folder_of_parquet_files_is_one_dataset(tmp_path: Path) -> None:
    for name in "ab":
        write_parquet(tmp_path / f"{name}.parquet", rows(3))
    data = build(f"parquet:{tmp_path}")
    assert [data.image_id(i) for i in (2, 3)] == ["a.parquet#2", "b.parquet#0"]
    assert data.classes == ("0", "1", "2")


def test_columns_can_be_named_and_labels_can_be_words(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"photo": png(7), "kind": k} for k in ("dog", "cat", "dog")])
    data = build(f"parquet:{tmp_path / 'a.parquet'},image=photo,label=kind")
    assert data.classes == ("cat", "dog") and [data.read(i)[1] for i in range(3)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("folder", OptionError, "names no folder"),
        ("folder:nowhere", DataError, "there is no folder nowhere"),
        ("folder:.,names=none.tsv", DataError, "there is no table none.tsv"),
        ("folder:.,size=0", OptionError, "at least 1"),
        ("parquet", OptionError, "names no file"),
        ("parquet:none.parquet", DataError, "there is no file none.parquet"),
        ("datasets", (OptionError, DataError), "datasets"),
    ],
)
def test_mistakes_are_reported_when_planning(
    spec: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        planned(spec)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    with pytest.raises(DataError, match=r"as in cat/1\.png"):
        build(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ("image=imagee", OptionError, "did you mean 'image'"),
        ("label=class", OptionError, "there are: image, label"),
    ],
)
def test_a_wrong_column_is_refused_with_a_suggestion(
    tmp_path: Path, options: str, error: type[Exception], message: str
) -> None:
    write_parquet(tmp_path / "a.parquet", rows())
    with pytest.raises(error, match=message):
        build(f"parquet:{tmp_path / 'a.parquet'},{options}")


def test_rows_without_image_or_label_are_reported_by_name(tmp_path: Path) -> None:
    bad = [*rows(2), {"image": {"bytes": None, "path": None}, "label": 0}, {"image": {"bytes": png(1)}, "label": None}]
    write_parquet(tmp_path / "a.parquet", bad)
    data = build(f"parquet:{tmp_path / 'a.parquet'}")
    with pytest.raises(DataError, match=r"a\.parquet#2 holds no image"):
        data.read(2)
    with pytest.raises(DataError, match=r"a\.parquet#3 has the label None"):
        data.read(3)


def test_other_files_are_refused_as_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match="is not a parquet file"):
        build(f"parquet:{tmp_path / 'a.parquet'}")


def test_a_hugging_face_dataset(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "test.parquet", rows(), ["cat", "dog", "eel"])
    data = build(f"datasets:{tmp_path / 'data'},split=test")
    assert len(data) == 5 and data.image_id(2) == "test#2"
    torch.testing.assert_close(data.read(2)[0], torch.full((3, 4, 6), 20 / 255))
    with pytest.raises(DataError, match="cannot be opened"):
        build(f"datasets:{tmp_path / 'data'},split=nothing")
