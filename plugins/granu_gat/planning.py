"""The attack that options of `gat` mean: which sites of the generator, and what is spent there; without torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from granu import GeneratorOffer, OptionError, Spec, UnknownName, parse_spec, plan_spaces

if TYPE_CHECKING:
    from granu import BuildContext, PlannedSpace

DEFAULTS: Mapping[str, str] = {"steps": "3", "norm": "linf"}
STYLES, NOISES = "style*", "noise*"
BUDGET = "0.2"  # of styles and noise maps; for other sites there is none that suits all
STYLES_AND_NOISES = f"{STYLES}:1+{NOISES}:6"  # bands where both are attacked
# sites that are attacked where a spec names none: those of the first line that a generator has
USUAL: Sequence[Sequence[str]] = ((STYLES, NOISES), ("layer*",), ("h*",))


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
    names = _names(spec, context)
    spec = spec.with_target("+".join(names))
    return str(spec.with_options({**_usual_size(names), **dict(spec.options)}))


def _usual_size(names: Sequence[str]) -> Mapping[str, str]:
    """Budget and bands of styles and noise maps; nothing where other sites are attacked."""
    styles, noises = (fnmatch.filter(names, kind) for kind in (STYLES, NOISES))
    if len(styles) + len(noises) < len(names):
        return {}
    return {"budget": BUDGET} | ({"bands": STYLES_AND_NOISES} if styles and noises else {})


def _names(spec: Spec, context: BuildContext) -> list[str]:
    """The attacked sites, coarse to fine. UnknownName for one that the generator does not have."""
    known = _known_sites(spec, context)
    patterns = _usual(spec, known) if spec.target in (None, "all") else str(spec.target).split("+")
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            raise UnknownName("site", pattern, known, f"gat:{spec}")
    return [name for name in known if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


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
    planned = plan_spaces(str(everything), context, {**DEFAULTS, "budget": BUDGET})
    return [site.name for one in planned for site in one.sites]
