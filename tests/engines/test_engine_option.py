"""`--engine`: what it takes, and what it refuses before anything is written."""

import importlib.util
from pathlib import Path

import pytest

from command import SMALL, Said, refused
from sharpen import api
from sharpen.cli.main import main
from sharpen.errors import SharpenError
from sharpen.run.manifest import describe
from sharpen.run.setup import Setup, setup_from, setup_to_measure
from toy import nano_actor

ABSENT = importlib.util.find_spec("vllm") is None


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A command in an empty folder with an untrained model in `tiny`."""
    monkeypatch.chdir(tmp_path)
    nano_actor().export(Path("tiny"))

    def said(*words):
        capsys.readouterr()
        status = main([str(w) for w in words])
        return Said(status, *capsys.readouterr())

    return said


def test_an_unknown_engine_is_refused(run):
    refused(run("train", "grpo", "--engine", "vlm"), "`--engine vlm` is not known", "Did you mean vllm")
    refused(run("eval", "tiny", "--task", "chain", "--engine", "sglang"), "There are local, vllm, vllm-server")
    assert not Path("runs").exists()


@pytest.mark.skipif(not ABSENT, reason="vllm is installed here")
@pytest.mark.parametrize("engine", ["vllm", "vllm-server"])
def test_without_vllm_it_is_said_what_to_install(run, engine):
    said = run("train", "grpo", "--model", "tiny", "--task", "chain", "--out", "run", *SMALL, "--engine", engine)
    refused(said, f"`--engine {engine}` needs vLLM, which is not installed", 'pip install "sharpen[vllm]"')
    assert not Path("run").exists()
    refused(run("eval", "tiny", "--task", "chain", "--engine", engine), "needs vLLM, which is not installed")
    with pytest.raises(SharpenError, match="needs vLLM, which is not installed"):
        api.measure("tiny", "chain", engine=engine)


def test_latents_are_not_served():
    from sharpen.actor.engine.choose import ready
    from sharpen.actor.flow import FlowActor
    from sharpen.actor.flowbase import FlowNano
    from sharpen.actor.velocity import velocity_field
    from sharpen.task.points import Points

    config = FlowNano().config(Points())
    flow = FlowActor(velocity_field(config), config)
    ready("local", flow)
    with pytest.raises(SharpenError, match="serves language models, and this policy is a FlowActor"):
        ready("vllm", flow)


def test_the_engine_is_part_of_the_setup_and_not_of_what_a_run_is_measured_with(tmp_path):
    from sharpen.actor.load import ModelSetup
    from sharpen.run.manifest import describe

    assert setup_from(describe(Setup(engine="vllm"))).engine == "vllm"
    assert Setup().engine == "local"
    measured = setup_to_measure("m", ModelSetup(), "chain", {}, {}, "vllm-server")
    assert measured.engine == "vllm-server"
    assert setup_to_measure("m", ModelSetup(), "chain", {}, {}).engine == "local"


def test_a_run_from_before_engines_drew_locally():
    plain = describe(Setup(seed=7))
    del plain["fields"]["engine"]
    assert setup_from(plain) == Setup(seed=7)
    del plain["fields"]["seed"]
    with pytest.raises(SharpenError, match="lacks seed"):
        setup_from(plain)
