"""The code of README.md and docs/ runs.

Every ```python block is executed; those of one page share a namespace and a folder (with a copy of examples/ and a tiny
model in my-model/). Every line `$ sharpen ...` of a ```console or ```bash block is run in this process, in the order of
the page, and must succeed. A comment `<!-- not run: reason -->` before a block exempts it.

Two things make this fast, and both change figures but not what is run: nano base models are brought up for 8 steps
instead of 420, and the options of `SHORTER` are appended to commands that would take minutes.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from sharpen.actor.nano import Nano, character_tokenizer, nano_model
from sharpen.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name != "demo_figures.md")]
BLOCK = re.compile(r"(?:^<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
SHORTER = {
    "train": "--set Loop.iterations=2 --set Loop.problems=2 --eval-problems 1 --eval-samples 2",
    "eval": "--problems 1 --k 1,2",
    "check": "--problems 12",
    "compare": "--model my-model --seeds 1 --budget 1-steps --eval-problems 2 --eval-samples 2 --measure-problems 2",
}


def blocks(page):
    """`(line, kind, text)` of every block that is to be run, in order."""
    whole = page.read_text()
    for m in BLOCK.finditer(whole):
        if m["why"] is None:
            yield whole[: m.start("text")].count("\n") + 1, m["kind"], m["text"]


def commands(text):
    """The words of every `$ sharpen ...` line, comments and continuations read as a shell does."""
    for line in text.replace("\\\n", " ").splitlines():
        assert line.startswith("$ sharpen "), f"a block that is run holds {line!r}, which is no sharpen command"
        yield shlex.split(line[2:], comments=True)[1:]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    nano_model(Nano(width=16, layers=1, heads=2)).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, cache, tiny):
    """A folder as a reader has it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(tiny, tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHARPEN_CACHE", str(cache))
    monkeypatch.setattr("sharpen.run.opening.Nano", lambda: Nano(width=32, layers=2, steps=8, batch=16, warmup=4))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore:.*tensorboard.*:DeprecationWarning")
def test_a_page_runs(page, place, monkeypatch, capsys):
    # a module that can be found by its name, since manifests name functions so
    module = types.ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, kind, text in blocks(page):
        if kind == "python":
            # padded, so that tracebacks name the line of the page
            exec(compile("\n" * line + text, str(page), "exec"), vars(module))
        elif kind in ("console", "bash"):
            for words in commands(text):
                run(words, place, f"{page.name}:{line}")
        else:
            assert kind == "text", f"{page.name}:{line}: a block of kind {kind!r} is neither run nor plain text"
    capsys.readouterr()


def run(words, place, where):
    """Run one command as the page has it, only shorter."""
    before = set(os.listdir(place / "runs")) if (place / "runs").exists() else set()
    # a run that goes on is as long as it was set up to be
    status = main(words if "--resume" in words else [*words, *SHORTER.get(words[0], "").split()])
    assert status == 0, f"{where}: sharpen {' '.join(words)} ended with {status}"
    if words[0] == "train" and not {"--dry-run", "--resume"} & {*words}:
        made = set(os.listdir(place / "runs")) - before
        assert len(made) == 1
        assert (place / "runs" / made.pop() / "report.html").exists()
    if words[0] == "export":
        assert (place / words[2] / "config.json").exists()


def test_what_is_not_run_has_a_reason():
    reasons = {m["why"] for p in PAGES for m in BLOCK.finditer(p.read_text()) if m["why"]}
    assert reasons == {
        "sets up an environment",
        "downloads from the hub, and wants a GPU",
        "downloads from the hub",
        "five full runs",
        "thirty full runs",
        "sixty full runs, 50 minutes on two busy cores",
        "serves until it is stopped",
    }


def test_generated_pages_are_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, make in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == make(), f"run python docs/generate.py: docs/{name} is old"


def test_the_site_builds_without_warnings(tmp_path):
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # nothing is fetched from elsewhere when a page is read
    html = "".join(p.read_text() for p in (tmp_path / "site").glob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', html)


LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.S)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.M)
            assert anchor in {re.sub(r"[^\w\s-]", "", h.lower()).replace(" ", "-") for h in heads}, link


FILE = re.compile(r"(?<![\w/])(?:tests|benchmarks|src|docs|claims)/[\w./-]*\w")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda p: p.name)
def test_files_that_are_named_are_there(page):
    named = sorted(set(FILE.findall(page.read_text())))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_page_repeats_the_example():
    page, example = (ROOT / "docs" / "bring-your-own.md").read_text(), (ROOT / "examples" / "reward.py").read_text()
    tidy = example[example.index("def tidy") : example.index("def graded")].strip()
    assert tidy in page


def test_examples_are_what_their_script_writes(place):
    before = (ROOT / "examples" / "problems.jsonl").read_bytes()
    exec((place / "examples" / "make_problems.py").read_text(), {"__file__": str(place / "examples" / "x.py")})
    assert (place / "examples" / "problems.jsonl").read_bytes() == before
