"""Commands and Python code in the documents work, and the reference is what the program prints."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
LONGEST = 900  # seconds until a script counts as hanging, many times what it takes, since the machine may be busy
# files, plugins and downloads that are not there in the tests
ABSENT = (
    "checkers", "waves", "gain", "file:", "mymodel", "recipe.toml", "folder:", "parquet:", "datasets:", "timm:", "hf:",
    "weights=",
)  # fmt: skip


def commands(name: str) -> list[str]:
    """Every `granu NAME` line in a code block, without its comment, unless it names something absent."""
    blocks = [b for file in DOCUMENTS for b in re.findall(r"```(?:\w*)\n(.*?)```", file.read_text(), flags=re.S)]
    text = "\n".join(blocks).replace("\\\n", " ")
    lines = [re.split(r"\s{2,}#", line)[0].strip().removeprefix("$ ") for line in text.splitlines()]
    chosen = {line for line in lines if line.startswith(f"granu {name} ")}
    return sorted(line for line in chosen if not any(word in line for word in ABSENT))


@pytest.mark.parametrize("command", [*commands("eval"), *commands("train"), *commands("harden")])
def test_a_documented_command_makes_a_plan(granu: Callable[..., Any], command: str) -> None:
    result = granu(*shlex.split(command)[1:], "--dry-run")
    assert result.returncode == 0, result.stderr


def test_there_are_documented_commands() -> None:
    assert len(commands("eval")) >= 4 and len(commands("train")) >= 3
    assert commands("harden")


@pytest.mark.parametrize("command", [line for line in commands("train") if "--data biggan" in line])
def test_a_documented_training_without_data_runs(granu: Callable[..., Any], command: str) -> None:
    smaller = ("--images", "80", "--epochs", "1", "--batch", "16", "--hold-out", "0.2")
    done = granu(*shlex.split(command)[1:], *smaller)
    assert done.returncode == 0, done.stderr
    assert "accuracy on validation images: " in done.stdout


def test_the_reference_is_what_the_program_says() -> None:
    check = [sys.executable, str(ROOT / "docs" / "write_reference.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, timeout=LONGEST)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
        if not link.startswith("http"):
            assert (file.parent / link).exists(), f"{file.name} links to {link}"


API_SNIPPETS = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), flags=re.S)


def words(text: str) -> list[str]:
    """The words of an output; numbers differ in the last digits from machine to machine."""
    return re.findall(r"[A-Za-z][\w:%-]*", text)


def test_the_snippets_of_the_python_api_print_what_the_page_shows() -> None:
    assert len(API_SNIPPETS) >= 5
    names: dict[str, Any] = {}
    for code, shown in API_SNIPPETS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/api.md", "exec"), names)
        assert words(printed.getvalue()) == words(shown), code


def test_the_notebook_prints_what_it_promises(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "notebook.py"), str(tmp_path / "figure.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for promised in (
        "AttackResult(found=6 of 6", "sizes: [", "images: (6, 1, 32, 32)", "robust to L-infinity 0.07: ",
        "standard: 12 of 12 images", "L2-trained: 12 of 12 images", "stylegan:layer5", "size ratio", "'found': 1.0",
    ):  # fmt: skip
        assert promised in done.stdout
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "spec"), [("waves", "waves:all,steps=20"), ("gain", "gain:steps=20")])
def test_the_plugins_of_the_tutorial_work(
    granu: Callable[..., Any], fake_plugin: Callable[..., Path], name: str, spec: str
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), flags=re.S)
    (source,) = (block for block in blocks if f'name="{name}"' in block)
    fake_plugin(name, source)
    done = granu("eval", "-p", spec, "-c", "zoo:mnist-cnn", "-n", "3", "--out", "run", "-q")
    assert done.returncode == 0, done.stderr
    assert "images classified correctly" in done.stdout
    evidence = re.findall(r'"evidence":"(\w+)"', Path("run/trials.jsonl").read_text())
    assert set(evidence) == {"classifier" if name == "gain" else "images"}


@pytest.fixture
def digits(tmp_path: Path) -> None:
    """A folder of drawn digits, one folder for each class."""
    from granu import BuildContext, Streams, load_catalog
    from granu.images.ops import encode_png

    generator = BuildContext(load_catalog()).build("generator", "stylegan")
    labels = torch.arange(20) % 10
    with torch.no_grad():
        latent = generator.draw(Streams(0, [f"digit{i}" for i in range(20)]), labels)
        images = generator.tail(latent, ["image"])({}).clamp(0, 1)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        folder = tmp_path / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(encode_png(image))


@pytest.mark.parametrize(
    ("name", "spec"), [("fast", "fast:0.1"), ("half-and-half", "half-and-half:frequency:0,budget=2")]
)
def test_the_defenses_of_the_tutorial_train(
    granu: Callable[..., Any], fake_plugin: Callable[..., Path], digits: None, name: str, spec: str
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), flags=re.S)
    (source,) = (block for block in blocks if f'name="{name}"' in block)
    fake_plugin(name, source)
    words = ["train", "-d", spec, "-c", "zoo:mnist-lenet", "--data", "folder:digits", "--epochs", "2", "--batch", "8"]
    done = granu(*words, "--hold-out", "0.2", "--out", "trained.safetensors", "-q")
    assert done.returncode == 0, done.stderr
    assert ("robust accuracy" in done.stdout) == (name == "fast")


def test_the_contract_of_the_tutorial_holds(fake_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), flags=re.S)
    source, check = (next(block for block in blocks if words in block) for words in ('name="fast"', "check_defense"))
    monkeypatch.syspath_prepend(str(fake_plugin("fast", source)))
    names: dict[str, Any] = {}
    exec(compile(check, "docs/tutorial.md", "exec"), names)
    checked = []
    contract = names["check_defense"]
    names["check_defense"] = lambda defense, *more: checked.append(contract(defense, *more))
    names["test_the_defense_keeps_the_contract"]()
    assert checked == [None], "the contract was called once and raised nothing"
    sys.modules.pop("fake_fast")
