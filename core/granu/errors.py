"""Errors that the user can correct; the command line prints each as one sentence and exits with code 2.

GranuError                 base class: the message says what is wrong, where, and what would be right
├── SpecError              a spec does not parse: "stylegan:,layer6"
├── UnknownName            no plugin, site, class or model of that name; suggests a similar one
├── OptionError            an option is unknown, of the wrong type or out of range
├── PluginError            a plugin that the command names is broken
├── WeightsError           a weights file is missing, damaged, forged or of another architecture
├── DataError              images cannot be read, or do not fit the classifier
├── ClassifierError        a classifier gives NaN, the wrong shape or the wrong number of classes
├── RunFolderError         a folder is locked, not writable, not a run folder, or holds a different run
└── TrainingError          a training diverges, or its files belong to another one

Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GranuError(Exception):
    """An error that the user can correct; its message says what is wrong, where, and what would be right."""


class SpecError(GranuError):
    """A spec such as `stylegan:layer6,steps=200` does not parse."""


class UnknownName(GranuError):
    """A name that no installed plugin offers."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        place = f" in `{where}`" if where else ""
        super().__init__(f"there is no {kind} named '{name}'{place}; {suggest(name, known)}")


class OptionError(GranuError):
    """An option is unknown, of the wrong type or out of range."""


class PluginError(GranuError):
    """A plugin that the command names cannot be used."""


class WeightsError(GranuError):
    """A weights file is missing, damaged, forged or of another architecture."""


class WeightsWarning(UserWarning):
    """A weights file leaves something open that its images depend on."""


class DataError(GranuError):
    """Images cannot be read, or do not fit the classifier."""


class ClassifierError(GranuError):
    """A classifier's output cannot be used."""


class RunFolderError(GranuError):
    """A run folder cannot be used for this run."""


class TrainingError(GranuError):
    """A training diverges, or its files belong to another training."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: a similar known name, otherwise the known names in order."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if not names:
        return "nothing is offered"
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"there are: {shown}"
