"""The build context: weights by name or path, other offers by spec, and the cache folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from granu import ClassifierOffer, PerturbationOffer, UnknownName, Weights, WeightsError, option
from granu.plugins.catalog import Catalog, make_catalog
from granu.plugins.context import BuildContext, cache_folder
from granu.plugins.discovery import DiscoveredPlugins, Plugin
from granu.plugins.spec import parse_spec

CONTENT = b"some weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Options:
    size: int = option(3, "how large")


def made(kind: str) -> Any:
    return lambda options, context: (kind, options, context)


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    (tmp_path / "net").write_bytes(CONTENT)
    (tmp_path / "bad").write_bytes(CONTENT)
    offers = (
        PerturbationOffer(name="thing", summary="s", make=made("perturbation"), options=Options, target="size"),
        ClassifierOffer(name="thing", summary="s", make=made("classifier"), options=Options, target="size"),
        weights("shipped", tmp_path / "net", DIGEST),
        weights("damaged", tmp_path / "bad", "0"),
    )
    return BuildContext(make_catalog(DiscoveredPlugins([Plugin("one", "package", "1", offers)])))


def weights(name: str, file: Path, digest: str) -> Weights:
    return Weights(name=name, summary="s", file=file, sha256=digest, licence="l", source="s")


def test_weights_are_found_by_name_and_recorded_with_their_checksum(context: BuildContext, tmp_path: Path) -> None:
    assert context.locate("shipped") == tmp_path / "net" and context.used_weights == {}
    assert context.weights("shipped") == tmp_path / "net"
    assert context.used_weights == {"shipped": DIGEST}


def test_weights_are_found_by_path(context: BuildContext, tmp_path: Path) -> None:
    assert context.weights(str(tmp_path / "bad")) == tmp_path / "bad"
    assert context.used_weights == {str(tmp_path / "bad"): DIGEST}


def test_weights_that_are_not_what_they_should_be_are_refused(context: BuildContext) -> None:
    with pytest.raises(WeightsError, match="'damaged' are damaged"):
        context.weights("damaged")
    assert context.used_weights == {}
    with pytest.raises(WeightsError, match="did you mean 'shipped'"):
        context.locate("shiped")


@pytest.mark.parametrize("kind", ["perturbation", "classifier"])
def test_an_offer_is_built_from_its_spec_with_its_options_and_this_context(context: BuildContext, kind: str) -> None:
    assert context.build(kind, "thing:5") == (kind, Options(5), context)
    resolved = context.catalog.resolve(kind, parse_spec("thing:7"))
    assert context.make(resolved) == (kind, Options(7), context)
    with pytest.raises(UnknownName, match=f"no {kind} named 'nothing'"):
        context.build(kind, "nothing")


def test_a_context_is_for_the_cpu_and_the_cache_folder_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    context = BuildContext(Catalog())
    assert context.device == "cpu" and context.cache == tmp_path / "cache" and context.used_weights == {}


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GRANU_CACHE": "/g", "XDG_CACHE_HOME": "/x"}, "/g"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/granu"),
        ({"GRANU_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/granu"),
        ({"XDG_CACHE_HOME": "~/x"}, "/home/me/x/granu"),
        ({}, "/home/me/.cache/granu"),
    ],
)
def test_the_cache_folder_is_granus_own_then_the_users(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GRANU_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
