"""Searches on trees small enough to work out by hand."""

import math
import random

import pytest
import torch

from sharpen.actor.scripted import ScriptedActor
from sharpen.cost import Cost
from sharpen.credit.tree import TreeTargets
from sharpen.errors import SharpenError
from sharpen.rollout.program import run_programs
from sharpen.search import MCTS, Beam, BestOfN
from sharpen.task.base import Task
from sharpen.types import Batch, Group, Problem, Sampling, Scored, Segment, Trace

STEPS = {"": ["a\n", "b\n"], "a\n": ["x", "y"], "b\n": ["z", "c\n"], "b\nc\n": ["w"]}
"""What may follow what; texts without a line feed end the answer."""


class Walker(ScriptedActor):
    """Says the possible next steps in turn, by a counter for each prefix, so that every branch is drawn."""

    max_context = 0
    longest = 64

    def __init__(self, steps=STEPS, logp=-1.0):
        self.turn: dict[str, int] = {}
        self.steps = steps
        self.logp = logp
        super().__init__(self.say_next)

    def say_next(self, context: str, rng: random.Random) -> str:
        said = context.removeprefix("?")
        k = self.turn.get(said, 0)
        self.turn[said] = k + 1
        return self.steps[said][k % len(self.steps[said])]

    def sample(self, requests):
        out = []
        for r in requests:
            if r.sampling.stop:
                s = super().sample([r])[0]
            else:  # no stop string: on to the end
                text, context = "", "".join(x.text for x in r.context)
                while not text or text.endswith("\n"):
                    text += self.say_next(context + text, random.Random(0))
                s = self._segment(text, role="assistant", trainable=True, by=r.by, drawn=r.sampling)
            s.logp = torch.full((len(s),), self.logp)
            s.info = {"end": "stop", "closed": not s.text.endswith("\n")}
            out.append(s)
        return out


class Critic(ScriptedActor):
    """Scores a prefix by its text."""

    def __init__(self, scores):
        self.scores = scores
        self.asked: list[list[str]] = []
        super().__init__(lambda c, r: "")

    def collate(self, traces, groups, columns, sets=None):
        n = torch.arange(len(traces))
        return Batch(traces, {}, n, n, groups, {})

    def score(self, batch, wants=()):
        texts = ["".join(map(chr, torch.cat([s.atoms for s in t.segments]).tolist()))[1:] for t in batch.traces]
        self.asked.append(texts)
        return Scored(torch.zeros(len(batch)), {"score": torch.tensor([self.scores[t] for t in texts])})


class Letters(Task):
    name = "letters"
    gives = frozenset({"answer"})

    def draw(self, split, rng):
        return Problem("p", "?", "w")

    def fixed(self, split, n):
        return [Problem("p", "?", "w")]

    def verify(self, problem, trace):
        return {"correct": float(self.answer_of(trace.text) == problem.answer)}

    def answer_of(self, text):
        return text[-1] if text and not text.endswith("\n") else None


def searched(search, scores=None, steps=STEPS, logp=-1.0):
    policy, critic = Walker(steps, logp), Critic(scores or {})
    [traces] = run_programs(
        search,
        [Problem("p", "?", "w")],
        Sampling(),
        task=Letters(),
        actors={"policy": policy, "value": critic},
        actor="policy",
        rng=random.Random(0),
        cost=(cost := Cost()),
    )
    return traces, cost, critic


SCORES = {"a\n": 0.3, "b\n": 0.2, "a\nx": 0.1, "a\ny": 0.15, "b\nz": 0.25, "b\nc\n": 0.8, "b\nc\nw": 0.9}


def test_best_of_n_takes_the_answer_the_model_likes():
    likes = {"a\nx": 0.1, "b\nz": 0.7, "a\ny": 0.2, "b\nc\nw": 0.5}
    traces, cost, _ = searched(BestOfN(n=4, squash="none"), likes)
    assert [t.text for t in traces] == ["a\nx", "a\ny", "b\nc\nw", "b\nz"]
    assert [t.info["value"] for t in traces] == pytest.approx([0.1, 0.2, 0.5, 0.7])
    assert cost.generated_tokens == 3 + 3 + 5 + 3


def test_majority_needs_no_model_and_weights_turn_it():
    steps = {"": ["x", "x", "y"]}
    traces, _, critic = searched(BestOfN(n=3, pick="majority"), steps=steps)
    assert traces[-1].text == "x"
    assert critic.asked == []
    traces, _, _ = searched(BestOfN(n=3, pick="weighted", squash="none"), {"x": 0.2, "y": 0.5}, steps)
    assert traces[-1].text == "y"  # 0.5 against 0.2 + 0.2


def test_a_budget_in_generated_tokens_ends_the_drawing():
    steps = {"": ["xx"]}
    traces, cost, _ = searched(BestOfN(n=0, budget=7, wave=2, pick="majority"), steps=steps)
    assert len(traces) == 4  # waves of two answers of two tokens: 4 are spent, then 8
    assert cost.generated_tokens == 8


def test_step_beam_follows_the_values_and_beam_the_likelihood():
    traces, _, critic = searched(Beam(width=1, expand=2, squash="none"), SCORES)
    assert traces[-1].text == "a\ny"  # a over b (0.3, 0.2), then y over x: greedy misses w
    traces, _, _ = searched(Beam(width=2, expand=2, squash="none"), SCORES)
    assert [t.text for t in traces] == ["b\nz", "b\nc\nw"]
    noted = [[x.info["value"] for x in t.actions] for t in traces]  # what the tree of its rollouts shows
    assert noted == [pytest.approx([0.2, 0.25]), pytest.approx([0.2, 0.8, 0.9])]
    traces, _, critic = searched(Beam(width=2, expand=2, by="logp"), {})
    assert critic.asked == []
    assert [len(t.text) for t in traces] == [3, 3]  # shorter answers are likelier at the same log-prob a token


def test_mcts_reaches_the_answer_that_values_hide_behind_a_worse_first_step():
    """By hand, c = 0 and no bonus: greedy on q, the best new child counts as visited. Root: a .3, b .2. Then a: x .1,
    y .15, so q(a) = .15. Then b, never visited: z .25, c .8, q(b) = .8. Then c: w .9, so q(c) = q(b) = .9."""
    traces, _, _ = searched(MCTS(sims=4, expand=2, c=0.0, unvisited=0.0, squash="none", pick="value"), SCORES)
    assert traces[-1].text == "b\nc\nw"
    by_text = {t.text: t for t in traces}
    assert set(by_text) == {"a\nx", "a\ny", "b\nz", "b\nc\nw"}
    a, b = by_text["a\nx"].actions[0], by_text["b\nz"].actions[0]
    assert by_text["a\ny"].actions[0] is a  # traces of a tree share segments
    assert (a.info["visits"], a.info["q"]) == (2, pytest.approx(0.15))
    assert (b.info["visits"], b.info["q"]) == (2, pytest.approx(0.9))
    c = by_text["b\nc\nw"].actions[1]
    assert (c.info["visits"], c.info["q"]) == (2, pytest.approx(0.9))


def test_uct_goes_first_where_it_has_not_been_and_then_by_visits():
    """The bonus of 1 sends the second round to b (.2 + 1 against .3 + 10 sqrt(2 ln 1)). Both then have one visit, and b
    the larger q (.8): c. Before the fourth round b has 2 of 3 visits: .9 + 10 sqrt(ln 3) against .3 + 10 sqrt(2 ln
    3)."""
    _, _, critic = searched(MCTS(sims=4, expand=2, c=10.0, squash="none"), SCORES)
    assert [sorted(x) for x in critic.asked] == [
        ["a\n", "b\n"],
        ["b\nc\n", "b\nz"],
        ["b\nc\nw"],
        ["a\nx", "a\ny"],
    ]


def test_puct_backs_up_what_the_oracle_says():
    """AlphaMath by hand: tanh scale, c = 0. a: own value .3, children x, y wrong (-1, -1): q(a) = -1.7 / 3. b: own .2,
    z wrong: q = (.2 - 1) / 2. c (own .8): then w is right: q(c) = (.8 + 1) / 2, and b has .2, -1, .8, 1."""
    scores = {k: math.atanh(v) for k, v in SCORES.items()}
    search = MCTS(sims=4, expand=2, c=0.0, select="puct", backup="mean", squash="tanh", oracle=True, pick="visits")
    traces, _, _ = searched(search, scores)
    found = {s.text: s.info for t in traces for s in t.actions}
    assert found["a\n"]["q"] == pytest.approx((0.3 - 1 - 1) / 3)
    assert found["b\n"]["q"] == pytest.approx((0.2 - 1 + 0.8 + 1) / 4)
    assert found["c\n"]["q"] == pytest.approx(0.9)
    assert found["w"] == {"end": "stop", "closed": True, "visits": 1, "q": 1.0, "value": 1.0}
    assert traces[-1].text == "b\nc\nw"


def test_looking_ahead_mixes_in_the_best_value_met():
    """Of a .1 and b .2 the walk goes on from b, one draw a step: z, worth .25."""
    scores = {**SCORES, "a\n": 0.1}
    traces, _, _ = searched(MCTS(sims=1, expand=2, ahead=3, squash="none"), scores)
    found = {s.text: s.info for t in traces for s in t.actions}
    assert found["b\n"]["q"] == pytest.approx((0.2 + 0.25) / 2)
    assert (found["b\n"]["visits"], found["a\n"]["visits"]) == (1, 0)


def test_what_is_left_of_a_budget_widens_the_tree():
    """Answers of two tokens, two a draw: after the first draw both ways are complete and 6 of 10 tokens are left; the
    second draw brings z (and x again), the third nothing new."""
    steps = {"": ["x ", "y ", "z "]}
    scores = {"x ": 0.1, "y ": 0.2, "z ": 0.3}
    traces, cost, _ = searched(MCTS(sims=9, expand=2, squash="none", budget=10, pick="value"), scores, steps)
    assert [t.text for t in traces] == ["x ", "y ", "z "]
    assert traces[-1].text == "z "
    assert cost.generated_tokens == 12  # three rounds of two answers of two tokens
    alone, cost, _ = searched(MCTS(sims=9, expand=2, squash="none", pick="value"), scores, steps)
    assert [t.text for t in alone] == ["x ", "y "]  # without a budget nothing is left over
    assert cost.generated_tokens == 4


def test_leaves_of_several_problems_are_judged_together():
    policy, critic = Walker(), Critic(SCORES)
    run_programs(
        MCTS(sims=2, expand=2, leaves=2, squash="none"),
        [Problem("p", "?", "w"), Problem("q", "?", "w")],
        Sampling(),
        task=Letters(),
        actors={"policy": policy, "value": critic},
        actor="policy",
        rng=random.Random(0),
    )
    assert policy.batches == [1] * 4 + [1] * 4  # the walker draws one by one; the requests came in two rounds
    assert [len(x) for x in critic.asked] == [4, 4]


def test_a_search_that_ends_without_an_answer_carries_its_best_prefix_to_the_end():
    traces, _, _ = searched(MCTS(sims=1, expand=2, squash="none"), SCORES)
    assert traces[-1].end == "stop"
    assert traces[-1].text.startswith("a\n")


def tree():
    """A tree of steps: root -> A -> (right R, wrong W -> wrong X), root -> B -> wrong Y."""
    p = Problem("p", "?")
    seg = {k: Segment(torch.tensor([1, 2]), trainable=True, text=k) for k in "ARWXBY"}
    paths = [("AR", True), ("AWX", False), ("BY", False)]
    traces = [Trace(p, [seg[c] for c in path], solved=ok) for path, ok in paths]
    return seg, Group(p, traces)


class Quiet:
    def log(self, *a, **k):
        pass


def test_quality_targets_by_hand():
    """m is 2 at the root, 1 at A. A: 0 + 1/(1+1). R: .5 + .5/1. W is dead below A (m = 1): .5 - .5/2, X again with
    m = 1: .25 - .75/2 < 0. B is dead below the root (m = 2): 0 - 1/3 < 0."""
    seg, group = tree()
    TreeTargets()([group], Quiet())
    assert {k: s.cols["target"].tolist() for k, s in seg.items()} == {
        "A": [0.5, 0.5],
        "R": [1.0, 1.0],
        "W": [0.25, 0.25],
        "X": [0.0, 0.0],
        "B": [0.0, 0.0],
        "Y": [0.0, 0.0],
    }
    assert all(t.info["tree_solved"] for t in group.traces)


def test_a_tree_without_a_right_answer_teaches_no_quality():
    seg, group = tree()
    group.traces[0].end = "cut"  # right, but not ended by the model
    TreeTargets()([group], Quiet())
    assert not any("target" in s.cols for s in seg.values())
    assert not any(t.info["tree_solved"] for t in group.traces)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BestOfN(n=0), "BestOfN.n"),
        (lambda: MCTS(sims=0), "MCTS.sims"),
        (lambda: Beam(width=0), "Beam.width"),
        (lambda: MCTS(budget=-1), "MCTS.budget"),
    ],
)
def test_searches_refuse_counts_that_mean_nothing(make, text):
    with pytest.raises(SharpenError, match=text):
        make()
