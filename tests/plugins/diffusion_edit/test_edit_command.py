"""The command: runs that resume, what a trial stores, and a sentence with exit code 2 for what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from granu import BuildContext, GranuError
from granu.plugins.catalog import Catalog
from granu_diffusion_edit import EditOptions, check, domains, make, planning

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

Folder = Callable[[str], Path]
CLASSIFIER = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        red, green, blue = x.mean((2, 3)).unbind(1)
        return torch.stack([red - blue, blue - red], dim=1) * 10

def build():
    return Net()
"""


def checked(folder: Path | str, **options: Any) -> None:
    """The checks before anything is built."""
    settings: dict[str, Any] = {"edit": "weather/snow", "steps": 4, "severity": (1.0,)} | options
    check(EditOptions(weights=str(folder), **settings), BuildContext(Catalog()))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two reddish cats, two bluish dogs and a bluish cat."""
    for name, colour in (
        ("cat/1", (200, 90, 80)), ("cat/2", (180, 60, 90)), ("cat/3", (80, 90, 200)), ("dog/1", (60, 90, 190)),
        ("dog/2", (70, 60, 220)),
    ):  # fmt: skip
        file = tmp_path / "photos" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), colour).save(file)
    (tmp_path / "net.py").write_text(CLASSIFIER)
    return tmp_path / "photos"


@pytest.fixture
def evaluate(granu: Callable[..., Any], photos: Path, folder: Folder) -> Callable[..., Any]:
    """Run `granu eval` on the photographs."""

    def run(spec: str, *words: str, name: str = "pix2pix") -> Any:
        return granu(
            "eval", "--perturb", f"{spec},weights={folder(name)},steps=2", "--classifier",
            "python:net.py:build,classes=cat+dog,size=16", "--data", f"folder:{photos}", "--out", "run", *words,
        )  # fmt: skip

    return run


def trials() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("run/trials.jsonl").read_text().splitlines()]


def test_a_run_stores_arms_prompts_and_scores(evaluate: Callable[..., Any]) -> None:
    answer = evaluate("diffusion-edit:weather/snow,severity=0.5+1")
    assert answer.returncode == 0, answer.stderr
    made = trials()
    assert len(made) == 5 and sum(trial["outcome"] == "clean-wrong" for trial in made) == 1
    assert "classified correctly as they came" in answer.stdout
    for trial in made:
        if trial["outcome"] != "clean-wrong":
            assert set(trial["levels"]) == set(trial["unchanged"]) == {"0.5", "1"}
            assert set(trial["arms"]) == {"source", "prepared", "reconstruction"}
            assert trial["texts"]["edit"] == "weather/snow" and "in" in trial["texts"]["prompt"]
            assert {"change@1", "floor@1", "noop@1", "collapsed@1"} <= set(trial["extra"])


def test_a_second_run_makes_no_image_and_finds_the_same(
    evaluate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate("diffusion-edit:weather/snow,severity=1")
    first = trials()
    Path("run/trials.jsonl").write_text("")
    monkeypatch.setattr("granu_diffusion_edit.instruct.Instructed.edit", None)
    answer = evaluate("diffusion-edit:weather/snow,severity=1")
    assert answer.returncode == 0, answer.stderr
    assert sorted(map(str, trials())) == sorted(map(str, first))


def test_all_is_one_row_for_each_domain(evaluate: Callable[..., Any]) -> None:
    answer = evaluate("diffusion-edit:all,severity=1", "--dry-run")
    planned = answer.stdout
    assert all(f"diffusion-edit:{name}" in planned for name in ("drawing", "weather", "time", "colour", "context"))


def test_an_edit_that_applies_to_no_image_leaves_all_out(evaluate: Callable[..., Any]) -> None:
    answer = evaluate("diffusion-edit:texture/metal,severity=1")
    assert {trial["outcome"] for trial in trials()} == {"not-encoded"}
    assert {trial["note"] for trial in trials()} == {"texture/metal does not apply to the super-class 'animal'"}
    assert answer.returncode == 0


def test_a_pipeline_that_is_no_editor_ends_the_command(evaluate: Callable[..., Any]) -> None:
    answer = evaluate("diffusion-edit:weather,severity=1", name="none")
    assert answer.returncode == 2 and "holds a DDPMPipeline, which edits no images" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sd", {"edit": ""}, "names no edit; write it like diffusion-edit:weather/snow"),
        ("sd", {"edit": "weather/snwo"}, "did you mean 'weather/snow'"),
        ("sd", {"severity": (1.5,)}, "severity=1.5 is out of range; it must be 0 to 1"),
        ("sd", {"severity": (0.1, 1.0)}, "severity=0.1 of strength=0.8 leaves none of steps=4"),
        ("sd", {"engine": "instruct"}, "holds a StableDiffusionPipeline, which follows no instructions"),
        ("pix2pix", {"engine": "sdedit"}, "which has no strength; use engine=instruct"),
        ("pix2pix", {"engine": "nulltext-p2p"}, "engine=nulltext-p2p needs a StableDiffusionPipeline"),
        ("pix2pix", {"image_guidance": 0.9}, "image-guidance=0.9 must be at least 1, since diffusers turns"),
        ("pix2pix", {"guidance": 1.0}, "guidance=1 must be above 1"),
        ("sd", {"offload": True}, "offload=yes needs an accelerator"),
        ("sd", {"engine": "nulltext-p2p", "dtype": "bfloat16"}, "optimises in float32 without offload"),
        ("sd", {"clip": "nowhere"}, "clip=nowhere is no folder of a CLIP model"),
        ("sd", {"prompts": "nowhere.toml"}, "prompts=nowhere.toml cannot be read"),
    ],
)
def test_what_does_not_fit_is_a_sentence_before_torch(
    folder: Folder, name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(GranuError) as problem:
        checked(folder(name), **options)
    assert said in str(problem.value) and "\n" not in str(problem.value)


def test_severity_zero_needs_no_step(folder: Folder) -> None:
    checked(folder("sd"), severity=(0.0, 1.0))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (None, "has no model_index.json"),
        ("[]", "describes no pipeline"),
        ("{", "describes no pipeline"),
        ('{"_class_name": "StableDiffusionPipeline", "unet": ["my_code", "Net"]}', "takes its unet from my_code"),
    ],
)
def test_a_folder_that_is_no_pipeline_is_a_sentence(tmp_path: Path, index: str | None, said: str) -> None:
    if index is not None:
        (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(GranuError, match=said):
        checked(tmp_path)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("", "names no pipeline; write weights=FOLDER"),
        ("nowhere", "there are no weights 'nowhere'"),
        ("someone/never-downloaded", "download it with: hf download someone/never-downloaded"),
    ],
)
def test_weights_that_are_not_there_are_a_sentence(weights: str, said: str) -> None:
    with pytest.raises(GranuError, match=said):
        checked(weights)


def test_a_pipeline_in_the_local_cache_of_the_hub_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    snapshot = tmp_path / "models--someone--editor" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (tmp_path / "models--someone--editor" / "refs").mkdir()
    (tmp_path / "models--someone--editor" / "refs" / "main").write_text(commit)
    (snapshot / planning.INDEX).write_text('{"_class_name": "FluxKontextPipeline"}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert planning.find_folder("someone/editor", BuildContext(Catalog())) == snapshot
    checked("someone/editor")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file.safetensors").write_bytes(b"")
    with pytest.raises(GranuError, match="is a file; name the folder of a pipeline"):
        checked(tmp_path / "file.safetensors")


def test_damaged_tensors_are_a_sentence(folder: Folder, tmp_path: Path) -> None:
    shutil.copytree(folder("sd"), tmp_path / "damaged")
    (tmp_path / "damaged" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"broken")
    with pytest.raises(GranuError, match="cannot be opened"):
        make(EditOptions(edit="weather", weights=str(tmp_path / "damaged")), BuildContext(Catalog()))


def test_without_diffusers_the_extra_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GranuError, match=r"needs diffusers; install it with pip install 'granu\[diffusion\]'"):
        checked(folder("sd"))


CLOSED = """
keep = "keep the image"

[edits.weather.fog]
describe = ["a photo of {a class} in fog"]
instruct = ["fog"]

[edits.light.dusk]
describe = ["a photo of {a class} at dusk"]
instruct = ["dusk"]
"""


@pytest.fixture
def closed(folder: Folder, tmp_path: Path) -> Path:
    """An editor that knows two instructions."""
    shutil.copytree(folder("pix2pix"), tmp_path / "closed")
    (tmp_path / "closed" / planning.CLOSED).write_text(CLOSED)
    return tmp_path / "closed"


def test_an_editor_with_a_closed_list_offers_its_own_edits(closed: Path) -> None:
    checked(closed, edit="weather/fog")
    assert domains(EditOptions(weights=str(closed))) == ("weather", "light")
    made = make(EditOptions(edit="light", weights=str(closed), steps=2), BuildContext(Catalog()))
    assert [str(edit) for edit in made.edits] == ["light/dusk"] and made.engine.family.keep == "keep the image"


def test_without_weights_no_list_of_the_working_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / planning.CLOSED).write_text(CLOSED)
    assert "drawing" in domains(EditOptions())


def test_an_editor_with_a_closed_list_refuses_other_edits(closed: Path, tmp_path: Path) -> None:
    with pytest.raises(GranuError, match="there is no edit named 'weather/snow'"):
        checked(closed, edit="weather/snow")
    (tmp_path / "own.toml").write_text(CLOSED.replace('instruct = ["dusk"]', 'instruct = ["dawn"]'))
    with pytest.raises(GranuError, match=r"does not know 'dawn'; there are: dusk, fog"):
        checked(closed, edit="weather/fog", prompts=str(tmp_path / "own.toml"))


def test_captions_of_ones_own_fit_a_closed_list(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(CLOSED.replace("in fog", "in thick fog").replace("keep =", "# keep ="))
    options = EditOptions(edit="weather/fog", weights=str(closed), prompts=str(tmp_path / "own.toml"), steps=2)
    made = make(options, BuildContext(Catalog()))
    assert made.engine.family.keep == "keep the image"


def test_too_many_steps_for_a_schedule_are_a_sentence(folder: Folder) -> None:
    options = EditOptions(edit="weather", weights=str(folder("sd")), engine="nulltext-p2p", steps=1000)
    with pytest.raises(GranuError, match="steps=1000 is too many; this schedule has 1000 timesteps"):
        make(options, BuildContext(Catalog()))


def test_what_is_checked_imports_no_torch(folder: Folder, run_python: Callable[..., Any]) -> None:
    code = (
        "import sys\n"
        "from granu.plugins.catalog import Catalog\n"
        "from granu.plugins.context import BuildContext\n"
        "from granu_diffusion_edit import EditOptions, check\n"
        "check(EditOptions(edit='weather', weights=sys.argv[1]), BuildContext(Catalog()))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert run_python(code, str(folder("sd"))).returncode == 0


def test_torch_draws_nothing_from_the_global_generator(folder: Folder) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    make(EditOptions(edit="weather", weights=str(folder("sd"))), BuildContext(Catalog()))
    assert torch.equal(torch.get_rng_state(), before)
