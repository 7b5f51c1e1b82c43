"""A gate's verdict as JUnit XML, which continuous integration shows as tests: one test case per change."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from granu.report.gate import Verdict
from granu.report.pairing import MeasuredClassifier

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML 1.0 cannot hold


def junit_xml(verdict: Verdict, first: MeasuredClassifier, second: MeasuredClassifier) -> bytes:
    """The verdict on `second` against `first`: a test case per source of images and per change, with why it fails.

    Names do not hold the runs' folders, so that a history of test cases spans runs.
    """
    failures = sum(not case.passed for case in verdict.cases)
    counts = {"tests": str(len(verdict.cases)), "failures": str(failures), "errors": "0", "skipped": "0", "time": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "granu compare", **counts})
    for case in verdict.cases:
        about = {"classname": _clean(second.name), "name": _clean(case.subject), "time": "0"}
        element = ElementTree.SubElement(suite, "testcase", about)
        if not case.passed:
            failure = ElementTree.SubElement(element, "failure", {"type": "worse", "message": _clean(case.reasons[0])})
            failure.text = _clean("\n".join(case.reasons))
    said = [f"first:  {first}", f"second: {second}", *verdict.lines()]
    ElementTree.SubElement(suite, "system-out").text = _clean("\n".join(said))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, "utf-8", xml_declaration=True) + b"\n"


def _clean(text: str) -> str:
    return FORBIDDEN.sub("?", text)
