"""The examples in the docstrings, and on the pages that people read, are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ranvier as rv
from tests.test_pages import PAGES, ROOT


def modules() -> Iterator[str]:
    """Every module of the package with an example."""
    for module in pkgutil.walk_packages(rv.__path__, "ranvier."):
        source = getattr(module.module_finder.find_spec(module.name), "origin", None) or ""
        if source.endswith(".py") and ">>> " in Path(source).read_text(encoding="utf-8"):
            yield module.name


def blocks(page: str) -> list[str]:
    """The Python code on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and nothing left behind in the random generator."""
    monkeypatch.chdir(tmp_path)
    state = rv.get_rng_state()
    yield
    rv.set_rng_state(state)


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_blocks_of_a_page_run_one_after_the_other(page: str) -> None:
    """As somebody who copies them into one session would have it; on the cpu without a GPU."""
    names: dict[str, object] = {}
    for block in blocks(page):
        code = block if rv.cuda.is_available() else block.replace('"cuda"', '"cpu"')
        exec(compile(code, page, "exec"), names)
    if "history" in names:
        assert names["history"]["accuracy"][-1] > 0.9
    if "accuracy" in names:
        assert names["accuracy"] > 0.9


def test_the_pages_for_newcomers_have_code() -> None:
    for page in ("README.md", "docs/quickstart.md", "docs/from-pytorch.md", "docs/cuda.md"):
        assert blocks(page), page
