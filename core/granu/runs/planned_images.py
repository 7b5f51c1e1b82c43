"""Planning of images: which ones each perturbation changes, and whether a generator draws or encodes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from granu.errors import OptionError
from granu.plugins.catalog import Catalog, Resolved
from granu.plugins.spec import parse_spec
from granu.runs.drafts import Draft
from granu.runs.plan import PlannedSource
from granu.spaces.site_options import ENCODING_KEYS


def plan_images(
    catalog: Catalog, data: str | Resolved | None, drafts: Sequence[Draft], recorded: Mapping[str, str]
) -> list[PlannedSource]:
    """The images of each perturbation.

    At its sites a generator that encodes takes the request's images, and others draw their own. Changes to images take
    the request's, otherwise those that an earlier command recorded, those of the first generator, or the default's.
    """
    if data is not None and not any(draft.encodes or draft.generator is None for draft in drafts):
        raise OptionError(
            "--data is for changes to images and for generators that encode them; the sites of "
            f"`{drafts[0].resolved.entry.name}` draw their own"
        )
    given = None if data is None else _named_source(catalog, data)
    known = [given or _recorded(catalog, draft, recorded) for draft in drafts]
    at_sites = [
        _at_sites(draft, source) if draft.generator else None for draft, source in zip(drafts, known, strict=True)
    ]
    first = next((source for source in at_sites if source), None)
    return [own or source or first or _default_source(catalog) for own, source in zip(at_sites, known, strict=True)]


def _at_sites(draft: Draft, known: PlannedSource | None) -> PlannedSource:
    """The images whose sites a generator edits: the known ones if it encodes them, otherwise its own drawings."""
    assert draft.generator is not None
    if known is not None and draft.encodes and not known.is_same(draft.generator):
        return known
    if not draft.draws:
        raise OptionError(
            f"`{draft.key}` draws no images and encodes given ones; name them with --data, for example "
            "--data folder:val"
        )
    if given := [key for key, _ in draft.resolved.spec.options if key in ENCODING_KEYS]:
        raise OptionError(
            f"`{draft.key}` draws its images, and {given[0]}= is for encoded ones; "
            + ("name images with --data" if draft.encodes else f"remove {given[0]}=")
        )
    return draft.generator


def _recorded(catalog: Catalog, draft: Draft, recorded: Mapping[str, str]) -> PlannedSource | None:
    """The images that an earlier command on the same folder used; of no interest to a generator that only draws."""
    if draft.key not in recorded or (draft.generator is not None and not draft.encodes):
        return None
    return _named_source(catalog, recorded[draft.key])


def _named_source(catalog: Catalog, data: str | Resolved) -> PlannedSource:
    if isinstance(data, Resolved):
        return PlannedSource("dataset", data)
    resolved = catalog.resolve_images(parse_spec(data))
    return PlannedSource(resolved.offer.kind, resolved)


def _default_source(catalog: Catalog) -> PlannedSource:
    """The generator that shipped weights claim as the default."""
    named = next((weights.default_source for weights in catalog.weights.values() if weights.default_source), "")
    if not named:
        raise OptionError("say where images come from with --data, for example --data folder:val")
    return _named_source(catalog, named)
