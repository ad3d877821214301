"""The table of layers: one folder is one layer, imports point downward, and the core does no I/O."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvgossip

PACKAGE = Path(kvgossip.__file__).parent

LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "config": set(),
    "model": {"errors", "config"},
    "wire": {"errors", "config", "model"},
    "store": {"errors", "config", "model"},
    "protocol": {"errors", "config", "model", "wire", "store"},
    "node": {"errors", "config", "model", "wire", "store", "protocol"},
    "runtime": {"errors", "config", "model", "wire", "store", "protocol", "node"},
    "sim": {"errors", "config", "model", "wire", "store", "protocol", "node"},
    "adapters": {"errors", "config", "model", "wire", "store", "protocol", "node"},
    "api": {"errors", "config", "model", "wire", "store", "protocol", "node", "runtime"},
    "cli": {"errors", "config", "model", "wire", "store", "protocol", "node", "runtime", "sim", "api"},
}
"""What each layer may import, besides itself."""

CORE = ("errors", "config", "model", "wire", "store", "protocol", "node")
BANNED = {
    "aiohttp",
    "asyncio",
    "concurrent",
    "datetime",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "uvloop",
}
"""Nothing in the core may reach the world. ``random`` may be imported for its type, ``Random``, only."""


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(module, names) of every import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module, [alias.name for alias in node.names]


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem in ("errors", "config"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    layer = layer_of(path)
    for module, names in imports_of(path):
        parts = module.split(".")
        if parts[0] != "kvgossip":
            continue
        for target in parts[1:2] or [name for name in names if name in LAYERS]:
            assert target == layer or target in LAYERS[layer], f"{path}: {layer} imports {target}"


@pytest.mark.parametrize("path", [p for p in FILES if layer_of(p) in CORE], ids=lambda p: p.stem)
def test_the_core_does_no_io(path: Path) -> None:
    may_touch_disk = path.parent.name == "store" and path.stem.startswith("rocks")
    for module, names in imports_of(path):
        top = module.split(".")[0]
        if may_touch_disk and top in {"os", "pathlib", "shutil", "threading", "time"}:
            continue
        assert top not in BANNED, f"{path} imports {module}"
        if top == "random":
            assert names == ["Random"], f"{path} uses the global random"


def test_every_folder_is_in_the_table() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert folders <= LAYERS.keys()
