"""Fixtures for every test: the checkout's code, an own cache and working folder, made-up plugins, and commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# torch processes that run several threads each slow each other down
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]

# an installed granu may be another checkout: this one comes first, here and in every process that a test starts
CODE = [str(ROOT / "core"), str(ROOT / "plugins")]
sys.path[:0] = CODE
os.environ["PYTHONPATH"] = os.pathsep.join([*CODE, *filter(None, [os.environ.get("PYTHONPATH")])])

PLUGINS = "made-up-plugins"
TINY = """
from dataclasses import dataclass
import granu
from granu.testing import tiny


@dataclass(frozen=True)
class Options:
    weights: str = granu.option("none", "ignored")


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
        name="tiny-classifier", summary="classifies the small world", options=Model, target="model", make=build,
    )]
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty cache and working folder, so that none reads the user's cache or leaves files behind."""
    monkeypatch.setenv("GRANU_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake_plugin(tmp_path: Path) -> Callable[..., Path]:
    """Install a made-up plugin: a module and a dist-info folder, in a folder that commands find on their path."""
    folder = tmp_path / PLUGINS

    def install(name: str, source: str, module: str = "") -> Path:
        module = module or f"fake_{name.replace('-', '_')}"
        folder.mkdir(exist_ok=True)
        (folder / f"{module}.py").write_text(source)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[granu]\n{name} = {module}\n")
        return folder

    return install


@pytest.fixture
def tiny_place(fake_plugin: Callable[..., Path]) -> Path:
    """Install the tiny world as a plugin and return the folder of made-up plugins."""
    return fake_plugin("tiny", TINY)


@dataclass
class Answer:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def granu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command with the made-up plugins in this process: torch need not be imported anew for each."""

    def run(*words: str, **environment: str) -> Answer:
        from granu.cli import main

        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(tmp_path / PLUGINS))
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
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / PLUGINS), os.environ["PYTHONPATH"]])}
        command = [sys.executable, "-c", code, *words]
        return subprocess.Popen(
            command, env=env, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh Python process that imports granu and its plugins from this checkout."""

    def run(code: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)

    return run
