"""Runs that somebody else made to be looked at: none hides the others, hangs the server, or fills the memory."""

from __future__ import annotations

import json
import os
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from sharpen.errors import SharpenError
from sharpen.run.rollouts import cut, files, read_rollouts
from sharpen.view.app import app
from sharpen.view.shelf import TEXT_MOST
from viewed import client, listed, said

PATHS = (
    *("", "/findings", "/evaluation", "/recipe", "/rollouts", "/metrics", "/curve", "/timing", "/calibration"),
    *("/rollouts/0/0", "/rollouts/0/0/tree", "/rollouts/0/0/0"),
)


def nested(n):
    return "[" * n + "]" * n


def manifest(run, change):
    told = json.loads((run / "manifest.json").read_text())
    change(told)
    (run / "manifest.json").write_text(json.dumps(told))


def last(line):
    def act(run):
        with open(run / "metrics.jsonl", "a") as file:
            file.write(f'{{"step": {line}, "metrics": {{}}, "cost": {{}}}}\n')

    return act


def deep(run):
    text = (run / "manifest.json").read_text().rstrip()
    (run / "manifest.json").write_text(f'{text[:-1]}, "name": {nested(900)}}}')


ODD = {
    "an iteration that is NaN": (last("NaN"), "is not a record that sharpen wrote"),
    "one without end": (last("1e400"), "is not a record that sharpen wrote"),
    "half of one": (last("1.5"), "is not a record that sharpen wrote"),
    "a name with 900 brackets": (deep, "does not hold what sharpen writes there (RecursionError)"),
    "100,000 brackets": (
        lambda run: (run / "manifest.json").write_text(nested(100_000)),
        "manifest.json cannot be read",
    ),
    "an evaluation of brackets": (
        lambda run: (run / "evaluation.json").write_text(nested(100_000)),
        "evaluation.json cannot be read (RecursionError",
    ),
    "done is a number": (
        lambda run: (run / "evaluation.json").write_text('{"splits": {}, "samples": [], "done": 5}'),
        "evaluation.json cannot be read (TypeError",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_one_run_does_not_hide_the_others(copied, tmp_path, what):
    """Each of these was an error 500 of the list of runs, or would have been."""
    act, text = ODD[what]
    copied("copy/dr-grpo")
    act(copied("copy/grpo"))
    ask = client(tmp_path / "own")
    found = listed(ask)
    assert found["dr-grpo"]["status"] == "finished"
    assert text in found["grpo"]["problem"]
    for path in PATHS:
        answer = ask.get(f"/api/runs/{found['grpo']['id']}{path}")
        assert answer.status_code in (200, 422), (path, answer.text)


def test_iterations_without_end(copied, tmp_path):
    run = copied("copy/grpo")
    manifest(run, lambda told: told["recipe"]["fields"]["loop"]["fields"].update(iterations=float("inf")))
    assert listed(client(tmp_path / "own"))["grpo"]["total"] is None


@pytest.mark.parametrize(
    "name",
    [
        "metrics.jsonl",
        "evaluation.json",
        "lock",
        "curve.jsonl",
        "policy/tokenizer.json",
        "rollouts/000090-000091.parquet",
    ],
)
def test_a_pipe_does_not_hang_the_server(copied, tmp_path, name):
    """A thread that opens one waits for a writer for ever; forty of them are all there are."""
    path = copied("copy/grpo") / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    ask, told = client(tmp_path / "own"), []

    def look():
        told.append(listed(ask)["grpo"]["problem"])
        told.extend(ask.get(f"/api/runs/0{p}") for p in PATHS)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)
    assert len(told) == 1 + len(PATHS)
    assert {a.status_code for a in told[1:]} <= {200, 422}
    assert any(f"{name} of the run grpo is neither a file nor a folder" in str(getattr(x, "text", x)) for x in told)


@pytest.mark.parametrize("name", ["metrics.jsonl", "manifest.json", "evaluation.json"])
def test_a_file_of_holes_is_not_read(copied, tmp_path, name):
    with open(copied("copy/grpo") / name, "ab") as file:
        file.truncate(1 << 40)
    text = f"{name} of the run grpo has 1,099,511,627,776 bytes, and at most {TEXT_MOST:,} are read of one file."
    assert listed(client(tmp_path / "own"))["grpo"]["problem"] == text


def test_a_line_of_a_hundred_megabytes_is_read_once(copied, tmp_path):
    """It is longer than a look; the search for its end does not begin anew with each."""
    path = copied("copy/grpo") / "metrics.jsonl"
    was = path.read_bytes()
    with open(path, "ab") as file:
        file.write(b'{"step": 6, "metrics": {}, "cost": {"' + b"x" * 100_000_000 + b'": 1')
    told = said(client(tmp_path / "own").get(f"/api/runs/0/metrics?from={len(was)}"))
    assert told["start"] == 0
    assert [r["step"] for r in told["records"]] == [0, 1, 2, 3, 4, 5]


def test_columns_of_other_types(copied, tmp_path):
    """Each is told of by name, in the list of rollouts and by whoever reads or cuts them."""
    run = copied("copy/grpo")
    [(path, _, _)] = files(run / "rollouts")
    table = pq.read_table(path)
    for name in table.column_names:
        other = table.set_column(table.column_names.index(name), name, pa.array([[2**40]] * len(table)))
        pq.write_table(other.replace_schema_metadata({"sharpen.rollouts": "2"}), path)
        ask = client(tmp_path / "own")
        told = said(ask.get("/api/runs/0/rollouts"))
        assert told["total"] == 0
        assert f"'{name}'" in told["broken"][0]  # of those read as codes Parquet itself says that they are none
        assert str(tmp_path) not in told["broken"][0]
        for act in (lambda: list(read_rollouts(run)), lambda: cut(run / "rollouts", 1)):
            with pytest.raises(SharpenError, match=f"its column '{name}' is of another type"):
                act()


def test_rollouts_that_do_not_say_their_iteration(copied, tmp_path):
    run = copied("copy/grpo")
    [(path, _, _)] = files(run / "rollouts")
    pq.write_table(pq.read_table(path), path, write_statistics=False)
    assert (
        "does not say which iterations"
        in said(client(tmp_path / "own").get("/api/runs/0/calibration?first=1"))["broken"][0]
    )
    with pytest.raises(SharpenError, match="does not say which iterations it holds"):
        cut(run / "rollouts", 1)


def test_a_file_of_a_billion_rows(copied, tmp_path):
    """Some kilobytes of Parquet; its columns would need gigabytes."""
    run = copied("copy/grpo")
    [(path, first, last_)] = files(run / "rollouts")
    row = pq.read_table(path).slice(0, 1)
    many = pa.concat_tables([row] * 1000).combine_chunks()
    bomb = run / "rollouts" / "000090-000091.parquet"
    with pq.ParquetWriter(bomb, many.schema, compression="zstd") as writer:
        writer.write_table(many)
    from sharpen.view import columns

    was = columns.ROWS_MOST
    try:
        columns.ROWS_MOST = 999
        told = said(client(tmp_path / "own").get("/api/runs/0/rollouts"))
    finally:
        columns.ROWS_MOST = was
    assert told["broken"] == ["grpo/rollouts/000090-000091.parquet has 1,000 rows, so its rollouts are left out."]
    assert told["total"] == len(list(read_rollouts(run, range(first, last_ + 1))))


TOKENS = {
    "negative": {"tokens": [-1]},
    "of another number than atoms": {"tokens": [1]},
    "null": {"tokens": [None, None]},
    "columns of other lengths": {"cols": [("logp_old", [1.0]), ("logp_ref", [1.0, 2.0])]},
    "nothing at all": dict.fromkeys(("role", "by", "text", "atoms", "id", "trainable", "cols", "notes")),
}


@pytest.mark.parametrize("what", TOKENS)
def test_segments_that_sharpen_did_not_write(copied, tmp_path, what):
    run = copied("copy/grpo")
    [(path, _, _)] = files(run / "rollouts")
    table = pq.read_table(path)
    rows = [[s | TOKENS[what] for s in row] for row in table.column("segments").to_pylist()]
    column = pa.array(rows, table.schema.field("segments").type)
    pq.write_table(table.set_column(table.column_names.index("segments"), "segments", column), path)
    ask = client(tmp_path / "own")
    for path in PATHS[-3:]:
        answer = ask.get(f"/api/runs/0{path}")
        assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize(
    "path", ["/api/runs/" + "9" * 5000, "/api/runs/0/rollouts/" + "9" * 5000 + "/0", "/static/" + "a" * 10_000]
)
def test_long_addresses(runs, path):
    """More digits than Python makes a number of."""
    ask = TestClient(app([runs]), base_url="http://127.0.0.1", raise_server_exceptions=False)
    assert said(ask.get(path), 404)["error"] == "There is nothing at this address."


def test_keys_that_mean_something_to_a_script(copied, tmp_path):
    """Halves of characters, line separators, names of prototypes: data, in valid UTF-8."""
    run = copied("copy/grpo")
    with open(run / "metrics.jsonl", "a") as file:
        file.write(
            '{"step": 6, "metrics": {"__proto__": 1, "constructor": 2, "\\ud800": 3, "\\u2028": 4}, "cost": {}}\n'
        )
    answer = client(tmp_path / "own").get("/api/runs/0/metrics")
    assert answer.content.decode("utf-8")
    assert answer.json()["records"][-1]["metrics"] == {
        "__proto__": 1,
        "constructor": 2,
        "⟨U+D800⟩": 3,
        "⟨U+2028⟩": 4,
    }
