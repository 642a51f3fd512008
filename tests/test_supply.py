"""The supply chain is small: bounded dependencies with reasons, pinned for tests, permissive, and nothing that runs
what it reads. Everything here works offline.
"""

from __future__ import annotations

import ast
import importlib.metadata as metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sharpen"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TREES = {str(p.relative_to(SOURCE)): ast.parse(p.read_text()) for p in sorted(SOURCE.rglob("*.py"))}


def requirements() -> list[tuple[str, Requirement]]:
    """Every requirement that is not the package itself, with the extra that asks for it."""
    named = [("", r) for r in PROJECT["dependencies"]] + [(e, r) for e, rs in EXTRAS.items() for r in rs]
    return [(e, Requirement(r)) for e, r in named if Requirement(r).name != "sharpen"]


# ------------------------------------------------------------------ what is asked for


@pytest.mark.parametrize(("extra", "r"), requirements(), ids=lambda x: str(getattr(x, "name", x)))
def test_every_dependency_has_both_bounds(extra, r):
    signs = {s.operator for s in r.specifier}
    assert ">=" in signs, f"{r} has no lower bound"
    assert "<" in signs, f"{r} has no upper bound"


def test_every_dependency_has_its_reason():
    """A comment on its line, or on the line that opens its extra."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for extra, r in requirements():
        at = next(i for i, line in enumerate(lines) if re.search(rf'"{re.escape(r.name)}[\[><=!~;" ]', line))
        opened = [line for line in lines[: at + 1] if line.startswith(f"{extra} = [")] if extra else []
        assert " # " in lines[at] or any(" # " in o for o in opened), f"{r}: no reason"


def test_few_are_needed_to_train():
    assert {Requirement(r).name for r in PROJECT["dependencies"]} == {
        "torch", "transformers", "safetensors", "pyarrow", "rich"
    }  # fmt: skip


# ------------------------------------------------------------------ what is installed


def reached() -> dict[str, metadata.Distribution]:
    """The installed distributions that `.[dev]` of this checkout reaches, by name."""
    todo = [r for e, r in requirements() if e not in ("vllm", "bench")]
    found: dict[str, metadata.Distribution] = {}
    done = set()
    while todo:
        r = todo.pop()
        key = (canonicalize_name(r.name), frozenset(r.extras))
        if key in done:
            continue
        done.add(key)
        try:
            d = found.setdefault(key[0], metadata.distribution(r.name))
        except metadata.PackageNotFoundError:
            continue
        for text in d.requires or ():
            more = Requirement(text)
            if more.marker is None or any(more.marker.evaluate({"extra": e}) for e in {"", *r.extras}):
                todo.append(more)
    return found


def pins() -> dict[str, str]:
    """The versions of constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {canonicalize_name(n): v.strip() for n, v in (line.split("==") for line in lines)}


def test_everything_that_tests_run_with_is_pinned():
    unpinned = sorted(set(reached()) - set(pins()))
    assert not unpinned, f"constraints.txt lacks {', '.join(unpinned)}"


def test_tests_run_with_what_is_pinned():
    known = pins()
    there = {n: Version(d.version).public for n, d in reached().items() if n in known}
    other = sorted(f"{n} {v} (pinned {known[n]})" for n, v in there.items() if v != known[n])
    if other and not (Path(sys.prefix) / ".installed").exists():
        pytest.skip(f"another environment than `make test` makes: {', '.join(other)}")
    assert not other


PERMISSIVE = re.compile(
    r"Apache|BSD|MIT|ISC|PSF|Python Software Foundation|CNRI-Python|BSL-1\.0|Zlib|CC0|HPND|Unlicense",
    re.IGNORECASE,
)
WEAK = {
    "certifi": "MPL 2.0: the root certificates, used as they are",
    "hypothesis": "MPL 2.0: for tests only, used as it is",
    "pathspec": "MPL 2.0: of mypy and the documentation, used as it is",
    "tqdm": "MPL 2.0 and MIT: of transformers and datasets, used as it is",
}
"""Licences by file: they ask nothing of a program that uses the package unchanged."""
UNTOLD = {"zss": "BSD 3-clause, told in its repository and not in its metadata; of reasoning-gym"}


def licence(d: metadata.Distribution) -> str:
    """What a distribution says of its licence: an expression, else classifiers, else words."""
    m = d.metadata
    kinds = [c.split(" :: ")[-1] for c in m.get_all("Classifier") or () if c.startswith("License ::")]
    return m.get("License-Expression") or "; ".join(kinds) or (m.get("License") or "").strip()[:80]


def test_licences_are_permissive():
    odd = {}
    for name, d in reached().items():
        said = licence(d)
        parts = [p.strip("() ") for p in re.split(r"\s+(?:AND|OR|WITH)\s+|; ", said)]
        parts = [p for p in parts if p not in ("LLVM-exception", "OSI Approved")]
        if name in WEAK:
            assert "MPL" in said, f"{name} says {said!r} now: look at it anew"
        elif name in UNTOLD:
            assert not said, f"{name} says {said!r} now: look at it anew"
        elif not parts or not all(PERMISSIVE.search(p) for p in parts) or re.search(r"\bA?GPL|LGPL", said):
            odd[name] = said
    assert not odd


# ------------------------------------------------------------------ what the source does


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name, '' of anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


DANGEROUS = re.compile(
    r"(?:eval|exec|compile|__import__|(?:builtins)\.\w+|(?:c?pickle|dill|marshal|shelve|joblib|cloudpickle)\.\w+"
    r"|torch\.load|yaml\.\w*load\w*|os\.(?:system|popen)|os\.exec\w+|os\.spawn\w+|importlib\.import_module|import_module)"
)
ALLOWED = {
    ("recipes/__init__.py", "import_module"): "the families of recipes, files of the package itself",
    ("claims/catalogue/__init__.py", "import_module"): "the claims of each family, files of the package itself",
    ("run/manifest.py", "importlib.import_module"): "a part of a recipe by its name, of modules the manifest may name",
    ("run/trackers.py", "importlib.import_module"): "wandb or trackio, one of two fixed names",
    ("cli/viewing.py", "importlib.import_module"): "starlette and uvicorn, fixed names, to say what is missing",
    ("processes.py", "import pickle"): "writes what a worker process is given, and reads none",
    ("processes.py", "pickle.dumps"): "tries whether a job can be handed to a process; what it makes is thrown away",
    ("sandbox/calls.py", "import marshal"): "writes what a program inside is called with; what it says is read as JSON",
    ("sandbox/calls.py", "marshal.dumps"): "the same",
    ("sandbox/harness.py", "import marshal"): "runs inside the sandbox, and reads what the library wrote",
    ("sandbox/harness.py", "marshal.loads"): "the same",
    ("sandbox/harness.py", "exec"): "runs inside the sandbox: this is what that is for",
    ("sandbox/harness.py", "compile"): "the same",
    ("sandbox/launcher.py", "exec"): "the same",
    ("sandbox/launcher.py", "compile"): "the same",
    ("sandbox/launcher.py", "os.execv"): "the same",
}
"""Where what is dangerous elsewhere is meant, and why."""


def calls(tree: ast.AST):
    """What is dangerous in a file: a name, or an argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if DANGEROUS.fullmatch(name):
                safe = name == "torch.load" and any(
                    k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in node.keywords
                )
                if not safe:
                    yield name
            for k in node.keywords:
                on = getattr(k.value, "value", None) is True
                if k.arg in ("shell", "trust_remote_code", "allow_pickle") and on:
                    yield f"{k.arg}=True"
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", None) == "trust_remote_code" and getattr(value, "value", None) is True:
                    yield "trust_remote_code=True"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (
                f"import {n}"
                for n in names
                if n.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle")
            )


def test_nothing_that_is_read_is_run():
    found = {(file, what) for file, tree in TREES.items() for what in calls(tree)}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("eval('1')", ["eval"]),
        ("import pickle\npickle.load(f)", ["import pickle", "pickle.load"]),
        ("import torch\ntorch.load(f)", ["torch.load"]),
        ("import torch\ntorch.load(f, weights_only=False)", ["torch.load"]),
        ("import torch\ntorch.load(f, weights_only=True)", []),
        ("import subprocess\nsubprocess.run('x', shell=True)", ["shell=True"]),
        ("load('m', trust_remote_code=True)", ["trust_remote_code=True"]),
        ("load('m', **{'trust_remote_code': True})", ["trust_remote_code=True"]),
        ("load('m', trust_remote_code=setup.trust)", []),
        ("model.eval()", []),
        ("import yaml\nyaml.unsafe_load(f)", ["yaml.unsafe_load"]),
    ],
)
def test_what_is_dangerous_is_seen(code, what):
    assert sorted(calls(ast.parse(code))) == sorted(what)


def imports(tree: ast.AST) -> set[str]:
    """The top names of everything a file imports."""
    out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            out.add(node.module or "")
    return out


COMES_WITH = {
    "numpy": "torch, transformers and pyarrow, which hand out its arrays",
    "tokenizers": "transformers, whose tokenizers are made of it",
    "huggingface_hub": "transformers",
    "latex2sympy2_extended": "math-verify",
    "sympy": "reasoning-gym, whose scorers give it the answer; torch",
    "anyio": "starlette",
    "nbformat": "the extra notebook",
}
"""Modules of distributions that are not asked for by name, and what they come with."""
OPTIONAL = {"wandb": "`--track wandb`, installed by who uses it", "trackio": "`--track trackio`, likewise"}


def test_every_import_is_a_declared_dependency():
    asked = {canonicalize_name(r.name).replace("-", "_") for e, r in requirements() if e != "dev"}
    known = asked | set(sys.stdlib_module_names) | {"sharpen"} | set(COMES_WITH) | set(OPTIONAL)
    found = {(f, m) for f, t in TREES.items() for m in imports(t) if m.split(".")[0] not in known}
    assert not found


NETWORK = (
    "socket",
    "ssl",
    "urllib.request",
    "http",
    "requests",
    "httpx",
    "aiohttp",
    "ftplib",
    "smtplib",
    "socketserver",
)
TALKS = {
    "actor/engine/remote.py": "asks an engine's server on this machine",
    "actor/engine/server.py": "is that server, on the loopback address, with a token",
    "run/directory.py": "the name of this machine, for the lock of a run",
    "view/guard.py": "the name of this machine, which a browser may ask for",
    "view/serve.py": "the socket that `sharpen view` listens on",
    "view/shelf.py": "the name of this machine, to tell whose lock it is",
}
"""Files that may speak over a network, and why."""


def test_the_network_is_used_in_few_places():
    found = {f for f, t in TREES.items() for m in imports(t) if any(m == n or m.startswith(n + ".") for n in NETWORK)}
    assert found == set(TALKS)
