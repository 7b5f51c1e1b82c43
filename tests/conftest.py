"""What every test stands on: a cache and a working folder of its own, one thread, and discovered that can be made up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# the machine's cores are the tests' own to divide; several torch processes of several threads slow each other down
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = """
from dataclasses import dataclass
import granu
from granu.testing import tiny


@dataclass(frozen=True)
class Options:
    weights: str = granu.option("none", "for the sake of the grammar")


@dataclass(frozen=True)
class Model:
    model: str = granu.option("bent", "which one", choices=("bent", "linear", "nan", "two"))


def build(options, context):
    if options.model == "nan":
        return Nan()
    if options.model == "two":
        return Two()
    return tiny.tiny_linear_classifier() if options.model == "linear" else tiny.tiny_bent_classifier()


class Nan:
    classes = tiny.CLASSES
    layers = dict

    def __call__(self, images):
        return images.new_full((len(images), 3), float("nan"))


class Two(Nan):
    classes = ("cat", "dog")


@granu.hookimpl
def granu_generators():
    return [granu.GeneratorOffer(
        name="tiny", summary="a small world", options=Options, make=lambda o, w: tiny.TinyGenerator(),
        sites=lambda o, w: tiny.TinyGenerator().sites(), weights=lambda o: o.weights,
    )]


@granu.hookimpl
def granu_classifiers():
    return [granu.ClassifierOffer(
        name="tiny-classifier", summary="knows the small world", options=Model, target="model", make=build,
    )]
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the user's cache or leaves anything behind."""
    monkeypatch.setenv("GRANU_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake_plugin(tmp_path: Path) -> Callable[..., Path]:
    """Install a made-up plugin: a module and a dist-info folder in a folder that goes onto the path."""
    place = tmp_path / "discovered"

    def install(name: str, source: str, module: str = "") -> Path:
        module = module or f"fake_{name.replace('-', '_')}"
        place.mkdir(exist_ok=True)
        (place / f"{module}.py").write_text(source)
        info = place / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[granu]\n{name} = {module}\n")
        return place

    return install


@pytest.fixture
def tiny_place(fake_plugin: Callable[..., Path]) -> Path:
    """A folder with the tiny world installed as a fake_plugin's plugin."""
    return fake_plugin("tiny", TINY)


@dataclass
class Answer:
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def granu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command, discovered included, in this process: torch need not be loaded anew for each."""

    def run(*words: str, **environment: str) -> Answer:
        from granu.cli import main

        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(tmp_path / "discovered"))
            patched.setattr(sys, "argv", ["granu", *words])
            for key, value in environment.items():
                patched.setenv(key, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
            for name in [name for name in sys.modules if name.startswith("fake_")]:
                del sys.modules[name]
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


@pytest.fixture
def granu_process(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own, to be killed, starved or interrupted."""

    def start(*words: str, before: str = "") -> subprocess.Popen[str]:
        code = f"{before}\nfrom granu.cli import main\nmain()"
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "discovered")}
        command = [sys.executable, "-c", code, *words]
        return subprocess.Popen(
            command, env=env, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start
