"""The columns of a file of rollouts.

Schema (version 2, in the file's metadata as `sharpen.rollouts`):

    step, group, trace   int32     iteration, and the two counted from 0 within it
    problem, parent      string    keys of the problem and of the problem it was made from (null: none)
    prompt               string    the problem's prompt; messages one a line as `role: content`; else the given text
    in front end, agent, episode  string    as in `Trace` (episode null: none)
    solved               bool      null before a verdict
    reward               float64   the total; null before there is one
    rewards              map<string, float64>   the named rewards
    length               int32     trainable atoms
    notes                map<string, float64>   numbers of the trace's `info` (a stated confidence, a search's value)
    segments             list of struct:
        role, by, text   string    text null where there is none
        trainable, fresh, moved    bool
        reward           float64   the segment's own
        state            string    a string as it is, else its `repr`; null: none
        atoms            int32     how many
        tokens           list<int32>     null for latents
        logp             list<float32>   behaviour log-probs; null where nobody drew it
        cols             map<string, list<float32>>   every per-atom column by its name (adv, logp_ref, entropy,
        value, ...)
        id               int32     which segment of its group it is: traces of a tree that share one have its number
        notes            map<string, float64>   the numbers in the segment's `info` (visits, q and value of a search)

Files of version 1 lack `notes` and `id`; they are read as files without notes, whose ids are null.
"""

from __future__ import annotations

import pyarrow as pa

VERSION = "2"
"""Version of the schema."""

READABLE = ("1", VERSION)
"""Versions that can be read."""

SEGMENT = pa.struct(
    [
        ("role", pa.string()),
        ("by", pa.string()),
        ("trainable", pa.bool_()),
        ("fresh", pa.bool_()),
        ("moved", pa.bool_()),
        ("text", pa.string()),
        ("reward", pa.float64()),
        ("state", pa.string()),
        ("atoms", pa.int32()),
        ("tokens", pa.list_(pa.int32())),
        ("logp", pa.list_(pa.float32())),
        ("cols", pa.map_(pa.string(), pa.list_(pa.float32()))),
        ("id", pa.int32()),
        ("notes", pa.map_(pa.string(), pa.float64())),
    ]
)
"""One segment of a row."""

SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("group", pa.int32()),
        ("trace", pa.int32()),
        ("problem", pa.string()),
        ("parent", pa.string()),
        ("prompt", pa.string()),
        ("end", pa.string()),
        ("agent", pa.string()),
        ("episode", pa.string()),
        ("solved", pa.bool_()),
        ("reward", pa.float64()),
        ("rewards", pa.map_(pa.string(), pa.float64())),
        ("length", pa.int32()),
        ("notes", pa.map_(pa.string(), pa.float64())),
        ("segments", pa.list_(SEGMENT)),
    ],
    metadata={"sharpen.rollouts": VERSION},
)
"""One row: one trace."""
