"""Traces in Parquet: every value, in order, by step and by column, and without loading everything."""

import errno
import os
import shutil
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.run import rollouts
from sharpen.run.rollouts import SCHEMA, RolloutWriter, cut, files, read_rollouts
from sharpen.types import Group, Problem, Sampling, Segment, Trace


def a_group(key="p", atoms=2):
    problem = Problem(key, "2+2?", "4", parent="q")
    ask = Segment(torch.tensor([1, 2, 3]), text="2+2?")
    say = Segment(
        torch.arange(atoms), True, -torch.arange(atoms).float() / 2, Sampling(), "policy@1", "assistant", "4."
    )
    say.put("adv", 0.5)
    say.put("logp_ref", torch.arange(atoms) * 0.25)
    say.reward, say.state, say.moved = 0.25, (1, "a"), True
    say.info = {"visits": 3, "q": 0.25, "closed": True, "end": "stop"}
    one = Trace(problem, [ask, say], {"correct": 1.0, "form": 0.5}, 1.5, True, episode="e", info={"value": 0.5})
    latent = Segment(torch.zeros(4, 2), state="s", fresh=True)
    two = Trace(Problem(key, [{"role": "system", "content": "Be."}, {"content": "2+2?"}]), [ask, latent], end="cut")
    return Group(problem, [one, two])


def written(tmp_path, steps=3, **how):
    writer = RolloutWriter(tmp_path / "rollouts")
    for step in range(steps):
        writer.add(step, [a_group("a", **how), a_group("b", **how)])
    writer.flush()
    return writer


def test_every_value(tmp_path):
    written(tmp_path, 1)
    rows = list(read_rollouts(tmp_path))
    assert [(r["step"], r["group"], r["trace"], r["problem"]) for r in rows] == [
        (0, 0, 0, "a"),
        (0, 0, 1, "a"),
        (0, 1, 0, "b"),
        (0, 1, 1, "b"),
    ]
    one, two = rows[:2]
    ask = {
        "role": "user",
        "by": "data",
        "trainable": False,
        "fresh": False,
        "moved": False,
        "text": "2+2?",
        "reward": 0.0,
        "state": None,
        "atoms": 3,
        "tokens": [1, 2, 3],
        "logp": None,
        "cols": {},
        "id": 0,
        "notes": {},
    }
    assert one == {
        "step": 0,
        "group": 0,
        "trace": 0,
        "problem": "a",
        "parent": "q",
        "prompt": "2+2?",
        "end": "stop",
        "agent": "policy",
        "episode": "e",
        "solved": True,
        "reward": 1.5,
        "rewards": {"correct": 1.0, "form": 0.5},
        "length": 2,
        "notes": {"value": 0.5},
        "segments": [
            ask,
            {
                "role": "assistant",
                "by": "policy@1",
                "trainable": True,
                "fresh": False,
                "moved": True,
                "text": "4.",
                "reward": 0.25,
                "state": "(1, 'a')",
                "atoms": 2,
                "tokens": [0, 1],
                "logp": [0.0, -0.5],
                "cols": {"adv": [0.5, 0.5], "logp_ref": [0.0, 0.25]},
                "id": 1,
                "notes": {"visits": 3.0, "q": 0.25},
            },
        ],
    }
    assert two["prompt"] == "system: Be.\nuser: 2+2?"
    assert (two["end"], two["solved"], two["reward"], two["rewards"], two["length"]) == ("cut", None, None, {}, 0)
    assert (two["parent"], two["episode"]) == (None, None)
    assert [s["id"] for s in two["segments"]] == [0, 2]  # the question is the same segment as in the first trace
    assert two["notes"] == {}
    latent = two["segments"][1]
    assert (latent["tokens"], latent["atoms"], latent["state"], latent["fresh"]) == (None, 4, "s", True)


def test_prompt_of_another_kind_is_the_text_given_first():
    problem = Problem("k", 17)
    trace = Trace(problem, [Segment(torch.zeros(1), text="a"), Segment(torch.zeros(1), text="b")])
    trace.segments.append(Segment(torch.zeros(1), True, text="c"))
    assert rollouts.prompt(problem, trace) == "ab"


def test_files_hold_whole_ranges_one_row_group_a_step(tmp_path):
    writer = written(tmp_path, 3)
    writer.add(3, [a_group()])
    assert writer.flush().name == "000003-000003.parquet"
    assert writer.flush() is None
    assert [(p.name, a, b) for p, a, b in files(tmp_path / "rollouts")] == [
        ("000000-000002.parquet", 0, 2),
        ("000003-000003.parquet", 3, 3),
    ]
    file = pq.ParquetFile(tmp_path / "rollouts" / "000000-000002.parquet")
    assert file.num_row_groups == 3
    assert file.schema_arrow.metadata[b"sharpen.rollouts"] == b"2"
    assert file.schema_arrow.equals(SCHEMA)
    assert SCHEMA.metadata == {b"sharpen.rollouts": b"2"}


def test_values_are_those_of_the_time_of_adding(tmp_path):
    writer = RolloutWriter(tmp_path / "rollouts")
    group = a_group()
    writer.add(0, [group])
    group.traces[0].segments[1].cols["adv"] += 9
    group.traces.clear()
    writer.flush()
    rows = list(read_rollouts(tmp_path))
    assert len(rows) == 2
    assert rows[0]["segments"][1]["cols"]["adv"] == [0.5, 0.5]


def test_by_step_and_by_column(tmp_path):
    written(tmp_path, 4)
    assert [r["step"] for r in read_rollouts(tmp_path, range(1, 3))] == [1] * 4 + [2] * 4
    assert list(read_rollouts(tmp_path, {3}, ["reward", "problem"]))[:2] == [
        {"problem": "a", "reward": 1.5},
        {"problem": "a", "reward": None},
    ]
    assert list(read_rollouts(tmp_path, {9})) == []
    with pytest.raises(SharpenError, match=r"^Rollouts have no column 'rewrd'\. Did you mean reward"):
        read_rollouts(tmp_path, columns=["rewrd"])


def test_only_the_row_groups_asked_for_are_read(tmp_path, monkeypatch):
    written(tmp_path, 4)
    asked = []
    real = pq.ParquetFile.iter_batches

    def spy(self, *args, row_groups, **more):
        asked.extend(row_groups)
        return real(self, *args, row_groups=row_groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    assert len(list(read_rollouts(tmp_path, [2]))) == 4
    assert asked == [2]


def test_nothing_yet(tmp_path):
    assert list(read_rollouts(tmp_path)) == []
    writer = RolloutWriter(tmp_path / "rollouts")
    writer.add(0, [])
    writer.flush()
    assert list(read_rollouts(tmp_path)) == []


def test_a_step_is_written_once(tmp_path):
    writer = written(tmp_path, 3)
    with pytest.raises(ValueError, match="iteration 2 were written already"):
        writer.add(2, [])
    with pytest.raises(ValueError, match="iteration 0 were written already"):
        RolloutWriter(tmp_path / "rollouts").add(0, [])
    writer.add(5, [a_group()])
    with pytest.raises(ValueError, match="iteration 5 were written already"):
        writer.add(5, [a_group()])


def test_columns_must_fit_their_segment(tmp_path):
    group = a_group()
    group.traces[0].segments[1].cols["wide"] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"column 'wide' has shape \(2, 2\) for 2 atoms"):
        RolloutWriter(tmp_path).add(0, [group])


def test_cut(tmp_path):
    folder = tmp_path / "rollouts"
    writer = written(tmp_path, 4)
    for step in (4, 5):
        writer.add(step, [a_group()])
        writer.flush()
    whole = list(read_rollouts(tmp_path, range(2)))
    cut(folder, 5)
    assert [p.name for p, _, _ in files(folder)] == ["000000-000003.parquet", "000004-000004.parquet"]
    cut(folder, 2)
    assert [p.name for p, _, _ in files(folder)] == ["000000-000001.parquet"]
    assert list(read_rollouts(tmp_path)) == whole
    RolloutWriter(folder).add(2, [])
    cut(folder, 0)
    assert list(folder.iterdir()) == []
    cut(tmp_path / "none", 3)


def test_a_full_disk_leaves_nothing_half_and_keeps_the_rows(tmp_path, monkeypatch):
    writer = written(tmp_path, 1)
    writer.add(1, [a_group()])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(SharpenError, match=r"^There is no room left for the rollouts of iterations 1 to 1 in "):
        writer.flush()
    monkeypatch.undo()
    assert os.listdir(tmp_path / "rollouts") == ["000000-000000.parquet"]
    writer.flush()
    assert [r["step"] for r in read_rollouts(tmp_path)] == [0] * 4 + [1] * 2


def test_damaged_and_foreign_files_are_named(tmp_path):
    written(tmp_path, 1)
    path = tmp_path / "rollouts" / "000000-000000.parquet"
    os.truncate(path, path.stat().st_size - 9)
    with pytest.raises(SharpenError, match=r"000000-000000\.parquet is not a whole Parquet file"):
        list(read_rollouts(tmp_path))
    pq.write_table(pa.table({"step": [1]}), path)
    with pytest.raises(SharpenError, match=r"has schema 'none' of rollouts, and this version .* reads '1' and '2'"):
        list(read_rollouts(tmp_path))


def test_ten_thousand_are_read_one_iteration_at_a_time(tmp_path):
    """100 iterations of 100 traces of 200 atoms with 3 numbers each: 6 million numbers, never all in memory."""
    writer = RolloutWriter(tmp_path / "rollouts")
    groups = [a_group(str(i), 200) for i in range(50)]
    for step in range(100):
        writer.add(step, groups)
    writer.flush()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    total = arrow = 0
    for seen, row in enumerate(read_rollouts(tmp_path, columns=["step", "segments"]), 1):
        total += sum(s["atoms"] for s in row["segments"])
        arrow = max(arrow, pa.total_allocated_bytes() - before) if seen % 500 == 0 else arrow
        if seen == 2000:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1000 * (203 + 7)
    assert peak < 8e6
    assert arrow < 8e6
    assert sum(1 for _ in read_rollouts(tmp_path, columns=["reward"])) == 10_000


OLD = Path(__file__).parent / "version1.parquet"
"""A file that the first version of the schema wrote: two groups of two traces of each of two iterations."""


def test_a_file_of_version_1(tmp_path):
    folder = tmp_path / "rollouts"
    folder.mkdir()
    shutil.copy(OLD, folder / "000000-000001.parquet")
    rows = list(read_rollouts(tmp_path))
    assert [(r["step"], r["group"], r["trace"]) for r in rows] == [
        (s, g, t) for s in range(2) for g in range(2) for t in range(2)
    ]
    assert [r["notes"] for r in rows] == [{}] * 8
    assert rows[0]["rewards"] == {"correct": 1.0, "form": 0.5}
    answer = rows[0]["segments"][1]
    assert (answer["id"], answer["notes"], answer["cols"]["adv"]) == (None, {}, [0.5, 0.5])
    assert next(read_rollouts(tmp_path, {1}, ["problem", "notes"])) == {"problem": "a", "notes": {}}
    assert next(read_rollouts(tmp_path, {1}, ["problem"])) == {"problem": "a"}


def test_a_run_of_version_1_goes_on(tmp_path):
    """What is kept of an old file stays as it is, and new files stand beside it."""
    folder = tmp_path / "rollouts"
    folder.mkdir()
    shutil.copy(OLD, folder / "000000-000001.parquet")
    before = list(read_rollouts(tmp_path, {0}))
    cut(folder, 1)
    writer = RolloutWriter(folder)
    writer.add(1, [a_group()])
    writer.flush()
    assert [p.name for p, _, _ in files(folder)] == ["000000-000000.parquet", "000001-000001.parquet"]
    assert pq.ParquetFile(folder / "000000-000000.parquet").schema_arrow.metadata[b"sharpen.rollouts"] == b"1"
    rows = list(read_rollouts(tmp_path))
    assert rows[:4] == before
    assert rows[4]["segments"][1]["notes"] == {"visits": 3.0, "q": 0.25}
