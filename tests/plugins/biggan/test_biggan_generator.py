"""BigGAN as a generator: sites, effects of edits, and file formats."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from biggan_golden import TOLERANCE, Golden, difference
from torch import Tensor

from granu import OptionError, WeightsError
from granu.plugins.catalog import Catalog
from granu.plugins.context import BuildContext
from granu.plugins.options import read_options
from granu.streams import Streams
from granu.testing import check_generator, check_import_without_torch
from granu.weights.checkpoints import WeightsHeader, save_weights
from granu_biggan import BigGANOptions, check, huggingface, make, sites
from granu_biggan.bigganpytorch import config_from, from_tfhub
from granu_biggan.config import BigGANConfig
from granu_biggan.formats import open_weights
from granu_biggan.generator import BigGANGenerator, BigGANLatent
from granu_biggan.network import BigGAN, ConditionalNorm
from granu_biggan.shapes import list_tensors

NAMES = ["z", "embedding", "linear", *(f"layer{i}" for i in range(7)), "image"]


@pytest.fixture
def hugging_face(tmp_path: Path) -> Path:
    """A folder as pytorch-pretrained-BigGAN writes it."""
    golden = Golden("huggingface")
    (tmp_path / "config.json").write_text(json.dumps(golden.config))
    torch.save(golden.state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    return tmp_path


@pytest.fixture(params=["wide", "deep"])
def pth(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of BigGAN-PyTorch."""
    file = tmp_path / f"{request.param}.pth"
    torch.save(Golden(f"bigganpytorch-{request.param}").state, file)
    return file


def build(weights: Path, **options: object) -> BigGANGenerator:
    return make(BigGANOptions(weights=str(weights), **options), BuildContext(Catalog()))  # type: ignore[arg-type]


def refused(weights: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        build(weights)
    return str(caught.value)


def golden_latent(name: str) -> BigGANLatent:
    golden = Golden(name)
    labels = golden["in.class"].argmax(1) if "in.class" in golden.tensors else golden["in.y"]
    return BigGANLatent(labels, golden["in.z"])


def render(generator: BigGANGenerator, latent: BigGANLatent) -> Tensor:
    return generator.tail(latent, ["image"])({})


def test_it_keeps_the_contract(hugging_face: Path) -> None:
    check_generator(build(hugging_face))
    check_import_without_torch("granu_biggan")


def test_a_hugging_face_folder_loads(hugging_face: Path) -> None:
    images = render(build(hugging_face, truncation=1.0), golden_latent("huggingface"))
    assert difference(2 * images - 1, Golden("huggingface")["out.image_trunc1.0"]) < TOLERANCE
    assert build(hugging_face).truncation == 0.4


def test_a_pth_of_biggan_pytorch_loads(pth: Path) -> None:
    name = f"bigganpytorch-{pth.stem}"
    generator = build(pth)
    assert difference(2 * render(generator, golden_latent(name)) - 1, Golden(name)["out.image"]) < TOLERANCE
    assert generator.truncation == 1.0


def test_a_folder_of_checkpoints_means_the_average(tmp_path: Path) -> None:
    torch.save(Golden("bigganpytorch-wide").state, tmp_path / "G_ema.pth")
    (tmp_path / "G.pth").write_bytes(b"never read")
    assert build(tmp_path).classes == tuple("0123456")


def test_granu_weights_load_and_keep_all_truncations(hugging_face: Path) -> None:
    opened = open_weights(hugging_face)
    own = hugging_face / "own.safetensors"
    save_weights(own, opened.tables, WeightsHeader("biggan", opened.config.to_json(), tuple("abcdefg")))
    latent = golden_latent("huggingface")
    for truncation in (0.43, 1.0):
        theirs = render(build(hugging_face, truncation=truncation), latent)
        assert torch.equal(render(build(own, truncation=truncation), latent), theirs)
    assert build(own).classes == tuple("abcdefg")


def test_networks_saved_from_several_gpus_with_standing_statistics_load(tmp_path: Path) -> None:
    plain = Golden("bigganpytorch-deep").state
    state = {}
    for name, tensor in plain.items():
        owner, _, last = name.rpartition(".")
        if last in ("stored_mean", "stored_var"):  # sums over 16 batches, in a module of their own
            state[f"module.{owner}.bn.{last}"] = tensor * 16
            state[f"module.{owner}.bn.accumulation_counter"] = torch.tensor([16.0])
        else:
            state[f"module.{name}"] = tensor
    torch.save(state, tmp_path / "standing.pth")
    torch.save(plain, tmp_path / "plain.pth")
    latent = golden_latent("bigganpytorch-deep")
    standing, running = (render(build(tmp_path / f"{name}.pth"), latent) for name in ("standing", "plain"))
    assert difference(standing, running) < 1e-6


def test_sites_go_coarse_to_fine(hugging_face: Path) -> None:
    options = BigGANOptions(weights=str(hugging_face))
    listed = sites(options, BuildContext(Catalog()))
    assert [site.name for site in listed] == NAMES
    generator = build(hugging_face)
    assert list(generator.sites()) == list(listed)
    clean = generator.tail(golden_latent("huggingface"), NAMES).clean
    assert {name: tuple(x.shape[1:]) for name, x in clean.items()} == {s.name: s.shape for s in listed}


def test_listing_sites_of_a_folder_needs_no_torch(hugging_face: Path, run_python) -> None:  # type: ignore[no-untyped-def]
    code = (
        "import sys, granu_biggan as b; from granu import BuildContext; from granu.plugins.catalog import Catalog;"
        f"b.sites(b.BigGANOptions(weights={str(hugging_face)!r}), BuildContext(Catalog())); "
        "assert 'torch' not in sys.modules"
    )
    assert run_python(code).returncode == 0


@pytest.mark.parametrize("site", NAMES)
def test_a_zero_edit_changes_nothing_and_another_edit_does(hugging_face: Path, site: str) -> None:
    generator, latent = build(hugging_face), golden_latent("huggingface")
    clean = render(generator, latent)
    tail = generator.tail(latent, [site])
    zero = torch.zeros_like(tail.clean[site])
    assert torch.equal(tail({site: zero}), clean)
    edit = torch.full_like(zero, 0.1).requires_grad_()
    changed = tail({site: edit})
    assert not torch.equal(changed, clean)
    (gradient,) = torch.autograd.grad(changed.sum(), edit)
    assert gradient.isfinite().all() and gradient.any()


def test_conditions_change_with_an_edit_of_z_and_not_with_one_of_a_layer(hugging_face: Path) -> None:
    generator, latent = build(hugging_face), golden_latent("huggingface")
    delta = torch.full_like(latent.z, 0.1)
    moved = BigGANLatent(latent.labels, latent.z + delta)
    everywhere = generator.tail(latent, ["z"])({"z": delta})
    assert torch.equal(everywhere, render(generator, moved))

    # the same first feature map with the conditions of the clean z gives another image
    first = generator.tail(moved, ["linear"]).clean["linear"] - generator.tail(latent, ["linear"]).clean["linear"]
    only_first = generator.tail(latent, ["linear"])({"linear": first})
    network = generator.network
    y = network.embed(latent.labels)
    x = network.start(moved.z, y)
    for i, condition in enumerate(network.conditions(latent.z, y)):
        x = network.layer(i, x, condition)
    assert difference(only_first, (network.finish(x) + 1) / 2) < 1e-5
    assert difference(only_first, everywhere) > 0.01


def test_edits_at_two_sites_combine(hugging_face: Path) -> None:
    generator, latent = build(hugging_face), golden_latent("huggingface")
    both = generator.tail(latent, ["layer2", "layer5"])
    at2 = torch.full_like(both.clean["layer2"], 0.2)
    at5 = torch.full_like(both.clean["layer5"], -0.2)
    image = both({"layer2": at2, "layer5": at5})
    assert torch.equal(both({"layer2": at2}), generator.tail(latent, ["layer2"])({"layer2": at2}))
    assert not torch.equal(image, both({"layer2": at2}))
    with pytest.raises(ValueError, match="not for layer3"):
        both({"layer3": at2})


def test_a_selected_tail_draws_the_selected_images(hugging_face: Path) -> None:
    generator, latent = build(hugging_face), golden_latent("huggingface")
    index = torch.tensor([2, 0])
    for site in ("z", "layer3", "image"):
        chosen = generator.tail(latent, [site]).select(index)
        assert difference(chosen({}), render(generator, latent.select(index))) < 1e-5


def test_an_image_does_not_depend_on_its_batch(hugging_face: Path) -> None:
    generator = build(hugging_face)
    three = generator.draw(Streams(0, ["a", "b", "c"]))
    alone = generator.draw(Streams(0, ["b"]))
    assert torch.equal(three.z[1], alone.z[0]) and three.labels[1] == alone.labels[0]
    assert three.z.abs().max() <= 2 * generator.truncation


def test_latents_are_normal_truncated_at_two(hugging_face: Path) -> None:
    z = build(hugging_face, truncation=1.0).draw(Streams(0, [str(i) for i in range(2000)])).z
    assert z.mean().abs() < 0.02
    assert z.std() == pytest.approx(0.8796, abs=0.01)  # of the normal distribution cut at two
    assert z.abs().max() <= 2


def test_depth_is_read_from_the_name_of_the_experiment(tmp_path: Path) -> None:
    state = Golden("bigganpytorch-deep").state
    for folder, size in (("BigGAN_C10_BigGANdeep_seed0_Gch8_Gd3_bs50", 16), ("BigGAN_C10_Gch8", 32)):
        file = tmp_path / folder / "G_ema.pth"
        file.parent.mkdir()
        torch.save(state, file)
        assert sites(BigGANOptions(weights=str(file)), BuildContext(Catalog()))[-1].shape == (3, size, size)


def test_other_norms_are_refused_by_the_name_of_the_experiment(tmp_path: Path) -> None:
    file = tmp_path / "BigGAN_C10_seed0_Gch64_in_hier_ema" / "G_ema.pth"
    file.parent.mkdir()
    torch.save(Golden("bigganpytorch-wide").state, file)
    assert "has the norm 'in' by its name" in refused(file)


def test_classes_by_name_and_by_number(hugging_face: Path) -> None:
    given = read_options(BigGANOptions, {"weights": str(hugging_face), "classes": "3,1"}, "biggan")
    generator = make(given, BuildContext(Catalog()))
    assert generator.labels == (3, 1)
    drawn = generator.draw(Streams(0, [str(i) for i in range(20)])).labels
    assert set(drawn.tolist()) == {1, 3}
    with pytest.raises(OptionError, match="no class 'tiger'"):
        build(hugging_face, classes=("tiger",))
    with pytest.raises(OptionError, match="no class 'tiger'"):
        check(replace(given, classes=("tiger",)), BuildContext(Catalog()))


def test_a_config_that_does_not_fit_lists_the_tensors(hugging_face: Path) -> None:
    config = Golden("huggingface").config
    config["layers"] = [*config["layers"][:-1], [True, 2, 2]]
    (hugging_face / "config.json").write_text(json.dumps(config))
    message = refused(hugging_face)
    assert "of another shape: layers.6.convs.3.bias (8,) instead of (16,)" in message
    config["layers"] = config["layers"][:-1]
    (hugging_face / "config.json").write_text(json.dumps(config))
    assert "unexpected: layers.6.convs.0.bias" in refused(hugging_face)
    config["layers"] += [[True, 2, 1], [False, 1, 1]]
    (hugging_face / "config.json").write_text(json.dumps(config))
    assert "missing: layers.7.convs.0.bias" in refused(hugging_face)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "channel_width is missing"),
        ("not json", "does not describe a BigGAN-deep"),
        ('{"channel_width": "wide", "layers": [[1, 2]]}', "does not describe a BigGAN-deep"),
    ],
)
def test_another_config_is_refused(hugging_face: Path, text: str, message: str) -> None:
    (hugging_face / "config.json").write_text(text)
    assert message in refused(hugging_face)


def test_a_damaged_file_is_refused(tmp_path: Path, pth: Path) -> None:
    whole = pth.read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "pickle": b"\x80\x02}q\x00(X\x03\x00",
        "zip": b"PK\x03\x04 but nothing else",
        "empty": b"",
        "text": b"hello",
    }.items():
        file = tmp_path / f"{name}.pth"
        file.write_bytes(content)
        assert str(file) in refused(file), name


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"synthesis.b4.const": torch.zeros(4, 4, 4)}, file)
    assert "not a BigGAN" in refused(file)
    torch.save([1, 2], file)
    assert "no state dict" in refused(file)


def test_a_forged_file_runs_no_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Forged:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {canary}",)

    for zipped in (True, False):
        torch.save({"linear.weight": Forged()}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        assert "does not run" in refused(tmp_path / "x.pth")
    assert not canary.exists()


@pytest.mark.parametrize("epsilon", [None, 1e-4])
def test_the_epsilon_of_conditional_norms_is_an_option_and_the_last_norms_is_not(
    tmp_path: Path, epsilon: float | None
) -> None:
    torch.save(Golden("bigganpytorch-wide").state, tmp_path / "G_ema.pth")
    generator = build(tmp_path / "G_ema.pth", epsilon=epsilon)
    norms = {m.epsilon for m in generator.network.modules() if isinstance(m, ConditionalNorm)}
    assert norms == {1e-5 if epsilon is None else epsilon} and generator.network.norm.epsilon == 1e-5
    assert ("epsilon" in generator.fingerprint) == (epsilon is not None)


def test_networks_that_were_converted_from_tensorflow_hub_have_another_epsilon() -> None:
    shapes = {"shared.weight": (1000, 128), "linear.weight": (16 * 96 * 16, 20), "linear.u0": (1, 16 * 96 * 16)}
    assert from_tfhub(shapes)
    assert not from_tfhub({**shapes, "linear.sv0": (1,)})  # trained with BigGAN-PyTorch
    assert not from_tfhub({**shapes, "shared.weight": (10, 128)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_width": 10**9}, "channels of a layer is"),
        ({"channel_width": 2**18}, "describes a network of"),
        ({"z_dim": 10**12}, "z_dim is 1000000000000, no integer"),
        ({"num_classes": 2**23}, "describes a network of"),
        ({"num_classes": "7"}, "classes is 7, no integer"),
        ({"layers": [[True, 1, 1]] * 2000}, "it has 200"),
        ({"layers": [[True, 1, 1]] * 20}, "more than 10 layers double the size"),
        ({"channel_width": "x" * 1000}, "its layers are not numbers"),
        ({"eps": float("nan")}, "epsilon is nan"),
    ],
)
def test_a_config_that_claims_more_than_the_file_holds_is_refused(
    hugging_face: Path, change: dict[str, object], message: str
) -> None:
    config = {**Golden("huggingface").config, **change}
    (hugging_face / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        sites(BigGANOptions(weights=str(hugging_face)), BuildContext(Catalog()))
    assert message.split(" is")[0] in refused(hugging_face)


def test_the_listed_tensors_are_those_of_the_network() -> None:
    for config in (huggingface.config_from(Golden("huggingface").config), *map(config_of, ("wide", "deep"))):
        own = {name: tuple(tensor.shape) for name, tensor in BigGAN(config).state_dict().items()}
        assert dict(list_tensors(config)) == own


def config_of(which: str) -> BigGANConfig:
    return config_from(Golden(f"bigganpytorch-{which}").state, None)
