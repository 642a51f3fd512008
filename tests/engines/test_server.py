"""The engine server on loopback: the same samples as in process, and everything it refuses."""

import http.client
import threading

import pytest
import torch

from second import CopyEngine
from sharpen.actor.base import Request
from sharpen.actor.engine.base import Draw, Prompt
from sharpen.actor.engine.choose import engine_of
from sharpen.actor.engine.remote import OwnServer, RemoteEngine
from sharpen.actor.engine.server import TOKEN, EngineServer
from sharpen.actor.engine.wire import draw_from_json, draw_to_json, prompt_from_json, prompt_to_json
from sharpen.errors import SharpenError
from sharpen.types import Problem, Sampling
from toy import nano_actor, weights_equal


@pytest.fixture
def server(tmp_path):
    """A server of a copy of the nano model."""
    engine = CopyEngine(nano_actor(max_tokens=6))
    made = EngineServer(engine, tmp_path, token="secret", dtype="float32", max_context=64)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def client(server, actor, **changes):
    given = {"token": "secret", "ends": actor.ends, "max_context": 64, "dtype": "float32", **changes}
    return RemoteEngine(f"http://127.0.0.1:{server.server_port}", **given)


def requests(actor, **sampling):
    context = tuple(actor.prompt(Problem("p", "ab")))
    return [Request(context, Sampling(**sampling), seed, "policy@0") for seed in range(3)]


def test_prompts_and_draws_survive_json():
    p = Prompt((1, 2), Sampling(0.5, 0.9, 4, 7, ("a", "b")), 2**61 + 1)
    assert prompt_from_json(prompt_to_json(p)) == p
    d = Draw(torch.tensor([3, 4]), torch.tensor([-0.1, -1 / 3]), torch.full((2,), torch.nan), torch.ones(2), "length")
    again = draw_from_json(draw_to_json(d))
    assert torch.equal(again.tokens, d.tokens)
    assert torch.equal(again.logp, d.logp)
    assert torch.equal(again.entropy, d.entropy)
    assert again.logp_full.isnan().tolist() == [True, True]
    assert again.end == "length"


def test_a_server_draws_what_the_engine_in_process_draws(server, tmp_path):
    actor, local = nano_actor(max_tokens=6), nano_actor(max_tokens=6)
    actor.serve(client(server, actor))
    for sampling in ({}, {"top_p": 0.6}, {"stop": ("a",)}, {"max_tokens": 2}):
        for s, t in zip(
            actor.sample(requests(actor, **sampling)), local.sample(requests(local, **sampling)), strict=True
        ):
            assert s.atoms.tolist() == t.atoms.tolist()
            assert torch.equal(s.logp, t.logp)
            torch.testing.assert_close(s.cols["logp_old"], t.cols["logp_old"], atol=1e-5, rtol=0)
    assert len(server.engine.syncs) == 1
    assert server.engine.end_tokens == sorted(actor.ends)
    actor.load_weights({n: w + 1e-6 for n, w in actor.weights().items()})
    actor.sample(requests(actor))
    assert weights_equal(server.engine.syncs[1], actor.served())
    assert list(tmp_path.iterdir()) == []  # files of weights are gone as soon as they are loaded
    assert server.engine.closed == 0


def test_a_partial_load_on_the_server_stops_the_run(server):
    actor = nano_actor(max_tokens=6)
    server.engine.drop = "model.norm.weight"
    actor.serve(client(server, actor))
    with pytest.raises(SharpenError, match=r"holds other values of 1 \(model.norm.weight\)"):
        actor.sample(requests(actor))


def test_a_server_that_another_run_has_synced_refuses(server):
    one, two = nano_actor(max_tokens=6), nano_actor(seed=1, max_tokens=6)
    one.serve(client(server, one))
    two.serve(client(server, two))
    one.sample(requests(one))
    two.sample(requests(two))
    with pytest.raises(SharpenError, match=r"refused: The server holds the weights of version .*-1, and samples of"):
        one.sample(requests(one))


def test_before_the_first_sync_nothing_is_drawn(server):
    actor = nano_actor()
    with pytest.raises(SharpenError, match="holds the weights of version None"):
        client(server, actor).generate([Prompt((1,), Sampling(), 0)])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"token": "wrong"}, "The token is missing or wrong. Set SHARPEN_ENGINE_TOKEN"),
        ({"dtype": "bfloat16"}, "computes in float32 with a context of 64, and this run in bfloat16 with 64"),
        ({"max_context": 65}, "with a context of 64, and this run in float32 with 65"),
    ],
)
def test_a_server_that_does_not_fit_is_refused(server, changes, text):
    with pytest.raises(SharpenError, match=text):
        client(server, nano_actor(), **changes)


@pytest.mark.parametrize("address", ["http://10.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1", "ftp://x:1"])
def test_only_loopback_is_spoken_to(address):
    with pytest.raises(SharpenError, match="is no server on this machine"):
        RemoteEngine(address, "t", ends=[2], max_context=8, dtype="float32")


def test_a_server_loads_no_file_outside_its_folder(server, tmp_path):
    remote = client(server, nano_actor())
    for name in ("../x.safetensors", "/etc/passwd", "x.bin"):
        with pytest.raises(SharpenError, match="is no safetensors file in the server's folder"):
            remote._call("POST", "/sync", {"version": "1", "file": name, "ends": []})


def test_unknown_calls_and_bad_prompts_are_told(server):
    remote = client(server, nano_actor())
    with pytest.raises(SharpenError, match="There is no /x"):
        remote._call("POST", "/x", {})
    with pytest.raises(SharpenError, match="refused: 'version'"):
        remote._call("POST", "/generate", {})
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", "/state")
    assert connection.getresponse().status == 401
    connection.close()


def test_a_server_that_has_gone_is_told():
    with pytest.raises(SharpenError, match=r"does not answer .* use `--engine vllm-server`, which starts one"):
        RemoteEngine("http://127.0.0.1:9", "t", ends=[2], max_context=8, dtype="float32")


def test_an_address_needs_a_token(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(SharpenError, match="needs the server's token: set SHARPEN_ENGINE_TOKEN"):
        engine_of("vllm:http://127.0.0.1:9", nano_actor(), None)


def test_a_server_that_does_not_start_says_why_and_leaves_its_log(tmp_path):
    import sys

    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "port").write_text("9")  # of a run that was killed
    command = [sys.executable, "-c", "print('loading'); raise SystemExit('sharpen: there is no room.')"]
    with pytest.raises(SharpenError, match=r"did not start: there is no room\. .*engine\.log has all it said"):
        OwnServer(nano_actor(), tmp_path, command)
    assert [p.name for p in tmp_path.iterdir()] == ["engine.log"]
