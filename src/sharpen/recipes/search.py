"""Self-training by tree search with a value model."""

from dataclasses import replace

from sharpen.core import reads
from sharpen.credit.tree import TreeTargets, complete, in_solved_tree
from sharpen.loss.policy import NLL
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Loop, Policy, Recipe, Term, Update, Value
from sharpen.reward.verify import Verify
from sharpen.rollout.sample import Sample
from sharpen.rows import Steps, Traces, solved
from sharpen.search import MCTS
from sharpen.source.problems import Uniform
from sharpen.types import Trace


@reads("solved")
def right_and_liked(trace: Trace) -> bool:
    """True of a solved trace that the value model of the search gave at least 0.2."""
    return solved(trace) and trace.info.get("value", 0.0) >= 0.2


_imitate = Update(
    (Term(NLL(), mean_over="atom"),),
    rows=Traces(right_and_liked, most=10),
    optimiser=AdamW(scale=5.0, warmup=10),
    minibatch=256,
    name="policy",
)

rest_mcts = Recipe(
    name="rest-mcts",
    family="search",
    parent="rest-em",
    about="Search a tree of steps guided by a value model; imitate the right answers found, and teach the value model "
    "how far each step of the tree is from one.",
    source_of="ReST-MCTS*, arXiv 2406.03816, sections 3.1 to 3.3 (algorithms 1 and 2), and its released code",
    source=Uniform(),
    collect=(Sample(1, program=MCTS(expand=3, ahead=3, pick="value")), Verify(), TreeTargets()),
    updates=(
        _imitate,
        Update(
            (Term(ValueFit("target", want="score", kind="bce"), where="last:segment"),),
            rows=Steps(in_solved_tree),
            actor="value",
            optimiser=AdamW(scale=5.0, warmup=10),
            minibatch=256,
            name="value",
        ),
    ),
    loop=Loop(iterations=20, problems=128),
    actors=(("policy", Policy()), ("value", Value("policy"))),
    origins={
        "MCTS.expand": "3 (released code)",
        "MCTS.c": "0.7 (released code)",
        "MCTS.unvisited": "1 (released code)",
        "MCTS.ahead": "3 steps of one draw, mixed half and half (released code)",
        "MCTS.sims": "the paper searches until a token budget; 16 here",
        "Traces.where": "answers of a value below 0.2 are left out (released code)",
        "ValueFit.kind": "cross-entropy to the quality, which lies in [0, 1]; the paper fits it by squared error",
        "Loop.reset": "none: each round goes on from the last; the value model begins untrained, at 1/2 everywhere",
    },
)

alphamath = replace(
    rest_mcts,
    name="alphamath",
    parent="rest-mcts",
    about="Search with the policy's own probabilities and a value model, answers judged while searching; imitate the "
    "right answers from the base anew, and fit the value model to what the search found each step worth.",
    source_of="AlphaMath almost zero, arXiv 2405.03553, sections 3.2 and 3.3 (eq. 5 to 9), and its released code",
    collect=(
        Sample(
            1,
            program=MCTS(select="puct", c=1.5, backup="mean", expand=5, oracle=True, squash="tanh", pick="visits"),
        ),
        Verify(),
        TreeTargets("q"),
    ),
    updates=(
        replace(_imitate, rows=Traces(solved, most=4), epochs=4),
        replace(
            rest_mcts.updates[1],
            terms=(Term(ValueFit("target", want="score", kind="tanh"), where="last:segment"),),
            rows=Steps(complete),
            epochs=4,
        ),
    ),
    loop=Loop(iterations=3, problems=256, reset="base"),
    origins={
        "MCTS.c": "1.5 (released code)",
        "MCTS.expand": "5 (section 4.1)",
        "MCTS.sims": "40 in the paper (4.1); 16 here",
        "MCTS.oracle": "complete answers are worth 1 or -1 while training (section 3.2)",
        "Traces.most": "4 right solutions a problem (section 4.1)",
        "Loop.iterations": "3 rounds, each from the base (section 4.1)",
        "Value.of": "the paper's value head shares the policy's body; here it has one of its own",
    },
)
