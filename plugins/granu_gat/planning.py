"""The attack that options of `gat` mean: which sites of the generator, and what is spent there; without torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from granu import GeneratorOffer, OptionError, Spec, parse_spec, plan_spaces

if TYPE_CHECKING:
    from granu import BuildContext, PlannedSpace

DEFAULTS: Mapping[str, str] = {"steps": "3", "norm": "linf", "budget": "0.2"}
STYLES, NOISES = "style*", "noise*"
STYLES_AND_NOISES = f"{STYLES}:1+{NOISES}:6"  # bands where both are attacked
# sites that are attacked where a spec names none: those of the first line that a generator has
USUAL: Sequence[Sequence[str]] = ((STYLES, NOISES), ("layer*",), ("h*",))
WILD = "*?["


def plan(generator: str, context: BuildContext) -> PlannedSpace:
    """The one space of all attacked sites that a spec means. OptionError, or UnknownName, where it means none."""
    (planned,) = plan_spaces(attack_spec(generator, context), context, DEFAULTS)
    if planned.search.name != "pgd":
        raise OptionError(f"`{planned.key}`: gat attacks by search=pgd; leave search= out, or take attack=random")
    return planned


def attack_spec(generator: str, context: BuildContext) -> str:
    """The perturbation's spec with all of its sites joined, and with the usual sites and bands where none are given."""
    if not generator:
        raise OptionError("say which generator's sites are attacked, for example `gat:stylegan`")
    spec = parse_spec(generator)
    if spec.others:
        raise OptionError(
            f"`gat:{spec}`: one generator's sites are attacked together; join sites by a plus, and give another "
            "generator a defense of its own, --defense gat:... twice"
        )
    if not isinstance(context.catalog.find("perturbation", spec.name).offer, GeneratorOffer):
        raise OptionError(f"`gat:{spec}`: '{spec.name}' is no generator; train against it with adversarial:{spec}")
    names = list(_names(spec, context))
    spec = spec.with_target("+".join(names))
    if "bands" not in dict(spec.options) and all(fnmatch.filter(names, kind) for kind in (STYLES, NOISES)):
        spec = spec.with_options({**dict(spec.options), "bands": STYLES_AND_NOISES})
    return str(spec)


def _names(spec: Spec, context: BuildContext) -> Iterator[str]:
    """The attacked sites, coarse to fine; names that do not exist are left to those who refuse them."""
    if spec.target is not None and spec.target != "all" and not any(sign in spec.target for sign in WILD):
        yield from spec.target.split("+")
        return
    known = _known_sites(spec, context)
    patterns = _usual(spec, known) if spec.target in (None, "all") else str(spec.target).split("+")
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            yield pattern
    yield from (name for name in known if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))


def _usual(spec: Spec, known: Sequence[str]) -> Sequence[str]:
    """The patterns of sites that are attacked where none are named; `all` means every site but the pixels."""
    if spec.target == "all":
        return [name for name in known if name != "image"]
    for patterns in USUAL:
        if fitting := [pattern for pattern in patterns if fnmatch.filter(known, pattern)]:
            return fitting
    raise OptionError(
        f"`gat:{spec}`: '{spec.name}' has neither styles nor noise maps nor layers; name the sites to attack, for "
        f"example `gat:{spec.name}:{known[0]}`"
    )


def _known_sites(spec: Spec, context: BuildContext) -> list[str]:
    """Names of all sites of the generator."""
    everything = spec.with_target("all").without("bands")[0]
    return [site.name for one in plan_spaces(str(everything), context, DEFAULTS) for site in one.sites]
