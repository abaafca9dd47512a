"""Counts the readers' tests that demand an error's type and message, and the others, as pytest collects them.

A test is negative if it, or a function of its module that it calls, has ``pytest.raises(…, match=…)``, or if
it is a case of strangers' files that must be refused; one that has demanded another truth before counts on
both sides. On neither count strangers' files that may be refused, and what the command line says of them.
Run as ``python tests/negatives.py``.
"""

import ast
import contextlib
import io
import sys
from collections import Counter
from pathlib import Path

import pytest

PATTERNS = ["data_*", "image_file", "slides*", "hostile_*", "persistence", "weights", "layouts", "isolation"]
CASES = ("test_hostile_data_are_refused_in_one_sentence", "test_a_hostile_folder_is_refused_in_one_sentence")
NEITHER = "test_the_command_refuses_it_with_exit_code_1"


def is_raises(node: ast.AST) -> bool:
    called = isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises"
    return called and any(keyword.arg == "match" for keyword in node.keywords)


def is_truth(node: ast.AST) -> bool:
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return isinstance(node, ast.Assert) or ".assert_" in called or called.startswith(("check_", "demand_p"))


def signs_of(item) -> tuple[bool, bool]:
    """Tell whether a test is negative, and whether it is positive."""
    if item.originalname in CASES:
        hostile = item.module.hostile
        piece = hostile.CASES[item.callspec.params["name"]].piece
        return piece not in (hostile.LOADS, hostile.EITHER), piece == hostile.LOADS
    tree = ast.parse(Path(item.module.__file__).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    own = list(ast.walk(functions[item.originalname]))
    called = {ast.unparse(node.func) for node in own if isinstance(node, ast.Call)}
    helped = any(is_raises(node) for name in called & functions.keys() for node in ast.walk(functions[name]))
    errors, truths = ([node.lineno for node in own if test(node)] for test in (is_raises, is_truth))
    is_mixed = bool(errors and truths and min(truths) < min(errors))
    return bool(errors or helped), is_mixed or not (errors or helped)


class Count:
    def __init__(self):
        self.negative, self.positive = Counter(), Counter()

    def pytest_collection_finish(self, session):
        for item in session.items:
            signs = (False, False) if item.originalname == NEITHER else signs_of(item)
            for count, sign in zip((self.negative, self.positive), signs, strict=True):
                count.update({item.path.name: int(sign), "all": int(sign)})


if __name__ == "__main__":
    count, folder = Count(), Path(__file__).parent
    files = [str(path) for pattern in PATTERNS for path in sorted(folder.glob(f"test_{pattern}.py"))]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", *files], [count])
    for name, negative in count.negative.items():
        positive = count.positive[name]
        print(f"{name:28}{negative:6} negative {positive:6} positive {negative / max(positive, 1):8.2f}")
    sys.exit(count.negative["all"] < 2.5 * max(count.positive["all"], 1))
