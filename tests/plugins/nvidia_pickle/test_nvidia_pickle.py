"""NVIDIA's pickles load, and no code in a pickle runs."""

import collections
import copyreg
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_files import GOLDEN, Call, Golden, Named, dump, module_state, network_pickle, persistent
from torch import nn

from granu import WeightsError
from granu_stylegan.formats import open_weights
from granu_stylegan.stylegan2 import StyleGAN2
from granu_stylegan.stylegan3 import StyleGAN3
from granu_stylegan.stylegan3_config import StyleGAN3Config

TOLERANCE = 1e-4  # of the image's range


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "network.pkl"


def refused(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        open_weights(file).state()
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", GOLDEN)
def test_images_equal_those_of_the_original(file: Path, name: str, protocol: int) -> None:
    golden = Golden(name)
    file.write_bytes(network_pickle(golden, protocol))
    opened = open_weights(file)
    assert opened.architecture == name[:9]
    network: nn.Module
    if opened.architecture == "stylegan2":
        network = StyleGAN2(**opened.config)
    else:
        network = StyleGAN3(StyleGAN3Config(**opened.config))
    network.load_state_dict(opened.state(), strict=True)
    with torch.no_grad():
        image = network(golden.z, golden.c, 0.7)
    span = golden.image.max() - golden.image.min()
    assert (image - golden.image).abs().max() / span < TOLERANCE
    assert len(opened.classes) == golden.arguments["c_dim"]


def test_the_source_in_a_file_is_not_run(file: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    file.write_bytes(network_pickle(Golden("stylegan2"), source=f"open({str(canary)!r}, 'w')\n"))
    assert open_weights(file).state()
    assert not canary.exists()


def in_a_network(payload: Any) -> dict[str, Any]:
    state = module_state({"weight": torch.zeros(2)}, {})
    return {"G_ema": persistent("Generator", {**state, "extra": payload})}


def as_storage(payload: Any) -> Any:
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), payload, 0, (2,), (1,), False, collections.OrderedDict())


def as_hook(payload: Any) -> Any:
    tensor = torch.zeros(2)
    rebuild, arguments = tensor.__reduce_ex__(2)[:2]
    del rebuild
    hooks = collections.OrderedDict({0: payload})
    return Call(Named("torch._utils", "_rebuild_tensor_v2"), *arguments[:5], hooks)


def as_blob(payload: Any) -> Any:
    """The bytes of a storage that are themselves a pickle of something else."""
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {}, payload):
        stream.write(dump(part, 2))
    return Call(Named("torch.storage", "_load_from_bytes"), stream.getvalue())


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda payload: payload,
    "as a network": lambda payload: {"G_ema": payload},
    "in a network's state": in_a_network,
    "as an argument": lambda p: {"G_ema": persistent("Generator", {"_init_kwargs": {"z_dim": p}})},
    "deep inside": lambda p: in_a_network([{"a": (p, [persistent("Layer", {"_parameters": {"w": p}})])}]),
    "as a storage": lambda payload: in_a_network(as_storage(payload)),
    "as a hook of a tensor": lambda payload: in_a_network(as_hook(payload)),
    "in the bytes of a storage": lambda payload: in_a_network(as_blob(payload)),
}


def payloads(canary: Path) -> dict[str, Any]:
    touch, write = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    saved = io.BytesIO()
    torch.save(Call(os.system, touch), saved)
    return {
        "os.system": Call(Named("os", "system"), touch),
        "posix.system": Call(Named("posix", "system"), touch),
        "subprocess.check_output": Call(Named("subprocess", "check_output"), ["touch", str(canary)]),
        "builtins.eval": Call(Named("builtins", "eval"), write),
        "builtins.exec": Call(Named("builtins", "exec"), write),
        "builtins.open": Call(Named("builtins", "open"), str(canary), "w"),
        "builtins.getattr": Call(Named("builtins", "getattr"), Named("os", "system"), "__call__"),
        "builtins.__import__": Call(Named("builtins", "__import__"), "this"),
        "importlib.import_module": Call(Named("importlib", "import_module"), "this"),
        "torch.load": Call(Named("torch", "load"), Call(Named("io", "BytesIO"), saved.getvalue()), None, None, False),
        "torch.serialization.load": Call(Named("torch.serialization", "load"), str(canary)),
        "torch.hub.load": Call(Named("torch.hub", "load"), "somebody/something", "evil"),
        "torch.jit.load": Call(Named("torch.jit", "load"), str(canary)),
        "pickle.loads": Call(Named("pickle", "loads"), dump(Call(Named("os", "system"), touch))),
        "numpy.load": Call(Named("numpy", "load"), str(canary), None, True),
        "functools.partial": Call(Named("functools", "partial"), Named("os", "system"), touch),
        "operator.attrgetter": Call(Named("operator", "attrgetter"), "system"),
        "a class": Named("training.networks", "Generator"),
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", payloads(Path("canary")))
def test_a_forged_file_runs_no_code(file: Path, tmp_path: Path, payload: str, place: str) -> None:
    canary = tmp_path / "canary"
    message = refused(file, dump(PLACES[place](payloads(canary)[payload])))
    assert "asks to run" in message
    assert not canary.exists()


def test_an_object_that_reduces_to_a_command_runs_no_code(file: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for protocol in (2, 3, 4, 5):
        content = pickle.dumps({"G_ema": Call(os.system, f"touch {canary}")}, protocol)
        assert "system; granu does not run code" in refused(file, content)
    assert not canary.exists()


def from_stack(module: str, name: str) -> bytes:
    """A name composed of two strings, which may contain dots."""
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    return b"\x80\x04" + words + b"\x93."


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cos\nsystem\n(S'touch canary'\ntR.",  # a call
        b"\x80\x02(S'touch canary'\nios\nsystem\n.",  # the same as an instance of an old class
        b"\x80\x02(cos\nsystem\nS'touch canary'\no.",  # and as an object
        from_stack("os", "system"),
        from_stack("collections", "OrderedDict.__init__.__class__"),  # an attribute of what is allowed
        from_stack("builtins", "dict.fromkeys"),
        b"\x80\x02U\x08whateverQ.",  # data outside the pickle
    ],
)
def test_every_way_of_naming_a_function_is_refused(file: Path, tmp_path: Path, program: bytes) -> None:
    assert "asks to run" in (message := refused(file, program)) or "outside the file" in message
    assert not (tmp_path / "canary").exists()


def test_names_are_printed_without_control_characters(file: Path) -> None:
    assert "\x1b" not in refused(file, from_stack("os", "\x1b[2Jsystem"))


def test_registered_extensions_are_refused_like_names(file: Path) -> None:
    copyreg.add_extension("os", "system", 0x7F)
    try:
        assert "asks to run a function by its number" in refused(file, b"\x80\x02\x82\x7f.")
    finally:
        copyreg.remove_extension("os", "system", 0x7F)


def test_a_file_cannot_change_how_the_next_one_is_read(file: Path) -> None:
    for name in (("torch._utils", "_rebuild_parameter"), ("numpy", "ndarray"), ("collections", "OrderedDict")):
        for state in ({"_act": 1}, (None, {"_act": 1}), (None, {"__call__": 1}), ({"__setstate__": 1}, {"x": 2})):
            program = dump(Named(*name), 2)[:-1] + dump(state, 2)[2:-1] + b"b."
            refused(file, program)
    file.write_bytes(network_pickle(Golden("stylegan2")))
    assert open_weights(file).state()


def test_records_are_immutable(file: Path) -> None:
    tensor = Call(*torch.zeros(2).__reduce_ex__(2)[:1], *torch.zeros(2).__reduce_ex__(2)[1], state={"offset": 10**9})
    assert "already read" in refused(file, dump(in_a_network(tensor)))


def test_a_tensor_that_exceeds_its_storage_is_refused(file: Path) -> None:
    storage, *rest = torch.zeros(4).__reduce_ex__(2)[1]
    del rest
    for offset, shape, strides in ((0, (8,), (1,)), (3, (2,), (1,)), (-1, (2,), (1,)), (0, (2, 2), (1,))):
        arguments = (storage, offset, shape, strides, False, collections.OrderedDict())
        tensor = Call(Named("torch._utils", "_rebuild_tensor_v2"), *arguments)
        names = {
            "synthesis": persistent("S", {"_modules": {"b4": persistent("B", {"_parameters": {"const": tensor}})}})
        }
        arguments_of_g = {"z_dim": 4, "w_dim": 4, "c_dim": 0, "img_resolution": 8}
        network = persistent("Generator", {"_modules": names, "_init_kwargs": arguments_of_g})
        assert refused(file, dump({"G_ema": network}))


def test_recursive_modules_are_refused(file: Path) -> None:
    loop: dict[str, Any] = {}
    network = persistent("Generator", {"_modules": loop})
    loop["again"] = network  # its only module is itself
    assert "nested too deeply" in refused(file, dump({"loop": loop, "G_ema": network}))


def test_tensorflow_pickles_are_refused(file: Path) -> None:
    message = refused(file, dump((Named("dnnlib.tflib.network", "Network"),) * 3))
    assert "TensorFlow" in message and "legacy.py" in message and message.count(". ") == 0


def test_a_damaged_file_is_refused(file: Path) -> None:
    whole = network_pickle(Golden("stylegan2"))
    for length in (1, 2, 10, 1000, len(whole) // 2, len(whole) - 1):
        assert "damaged" in refused(file, whole[:length])
    assert refused(file, b"PK\x03\x04 but nothing else")
    assert refused(file, b"")
    assert refused(file, b"hello")


def test_an_unsupported_network_is_refused(file: Path) -> None:
    golden = Golden("stylegan2")
    golden.arguments["synthesis_kwargs"]["architecture"] = "resnet"
    assert "its architecture is resnet, not skip" in refused(file, network_pickle(golden))
    golden = Golden("stylegan3-t")
    golden.arguments["blur"] = 3
    assert "no argument blur" in refused(file, network_pickle(golden))
    assert "no G_ema" in refused(file, dump({"G": 1}))
    assert "neither a StyleGAN2 nor a StyleGAN3" in refused(file, dump({"G_ema": persistent("Generator", {})}))
