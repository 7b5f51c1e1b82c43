"""What can go wrong, as a tree; everything here is shown as one sentence and ends with exit code 2.

GranuError                 the person at the keyboard can mend it
├── SpecError              what was typed does not parse: "stylegan:,layer6"
├── UnknownName            no such plugin, site, class or model; says what is near
├── OptionError            an option is unknown, of the wrong type or out of range
├── PluginError          a plugin that the command names is broken
├── WeightsError           a weights file is missing, damaged, forged or of another architecture
├── DataError              images cannot be read, or do not fit the classifier
├── ClassifierError        a classifier gives NaN, the wrong shape or the wrong number of classes
└── RunFolderError         a run folder is locked, not one, not writable, or holds another plan

Anything that is not a GranuError is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GranuError(Exception):
    """Something the person can mend: says what is wrong, where, and what would be right."""


class SpecError(GranuError):
    """A spec such as `stylegan:layer6,steps=200` does not parse."""


class UnknownName(GranuError):
    """A name that nobody offers."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        place = f" in `{where}`" if where else ""
        super().__init__(f"there is no {kind} named '{name}'{place}; {suggest(name, known)}")


class OptionError(GranuError):
    """An option is unknown, of the wrong type or out of range."""


class PluginError(GranuError):
    """A plugin that was named cannot be used."""


class WeightsError(GranuError):
    """A weights file is missing, damaged, forged or of another architecture."""


class DataError(GranuError):
    """Images cannot be read, or do not fit."""


class ClassifierError(GranuError):
    """A classifier's answer cannot be used."""


class RunFolderError(GranuError):
    """A run folder cannot be used for this plan."""


def suggest(name: str, known: Iterable[str]) -> str:
    """'did you mean ...?' where something is near, otherwise what there is, in the order given."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if not names:
        return "nothing is offered"
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"there are: {shown}"
