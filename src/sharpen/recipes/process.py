"""Rewards for steps: process reward models, and policies trained against them."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.credit.steps import Progress, Return, StepLOO, StepReward
from sharpen.loss.policy import KL, PPOClip, Reinforce
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Program, Recipe, Term, Update, Value
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate, Split
from sharpen.rollout.montecarlo import MonteCarlo
from sharpen.rollout.sample import Sample
from sharpen.source.problems import Uniform

math_shepherd = Recipe(
    name="math-shepherd",
    family="process",
    about="From the end of every step of sampled answers, answers are completed several times; a model learns to say "
    "of each step whether one of them came out right. No human labels a step. The policy is not trained.",
    source_of="Math-Shepherd, arXiv 2312.08935, section 3.3 (eq. 3 to 5)",
    source=Uniform(),
    collect=(Sample(15), Verify(), Split(), MonteCarlo(8, label="hard")),
    updates=(
        Update(
            (Term(ValueFit("mc", want="score", kind="bce"), where="last:segment", mean_over="atom", name="label"),),
            actor="prm",
            optimiser=AdamW(scale=5.0),
            minibatch=64,
        ),
    ),
    loop=Loop(iterations=50, problems=32),
    actors=(("policy", Policy()), ("prm", Value())),
    origins={
        "Sample.n": "15 solutions a problem (section 4)",
        "MonteCarlo.n": "8 completions of each step (section 4)",
        "MonteCarlo.label": "hard, as the paper trains with (section 4); it finds soft labels about as good",
        "MonteCarlo.actor": "the policy itself; the paper's completer is another model (LLemma 7B)",
        "AdamW.scale": "ours; the paper's learning rate is 1e-6 for the reward model (section 4)",
        "Term.where": "a prediction stands at the end of each step (eq. 5)",
    },
)

pure = Program(
    name="pure",
    family="process",
    parent="math-shepherd",
    about="A process reward model is trained; then the policy is trained against it and the verifier. An answer earns "
    "about its worst step instead of the sum of its steps, so that padding does not pay.",
    source_of="PURE, arXiv 2504.15275, section 3, and its released code",
    recipes=(
        replace(math_shepherd, name="pure-prm"),
        Recipe(
            name="pure-rl",
            source=Uniform(),
            collect=(
                Sample(4),
                Verify(),
                Total(),
                Split(),
                Annotate("ref"),
                Annotate("prm", "score", "prm"),
                StepReward(),
                StepLOO(),
                GroupNorm(center="loo", scale="none"),
                Return("surplus", mode="add"),
            ),
            updates=(Update((Term(PPOClip()), Term(KL("k2"), 1e-3)), minibatch=128),),
            loop=Loop(iterations=100, problems=64),
            actors=(("policy", Policy()), ("ref", Frozen()), ("prm", Value())),
            origins={
                "StepReward.temperature": "0.1 (the released code)",
                "Sample.n": "4 answers a problem (the released script, which samples them at temperature 0.5)",
                "GroupNorm.center": "the verdict less that of the others, at coefficient 1 (the released script)",
                "Return.ends": "tokens that end steps keep their credit; the released code takes it from them "
                "(`--set Return.ends=false`), and then nothing holds back a step that is a separator and no more",
                "Return.weight": "1; the released code then scales all credit to mean 0 and deviation 1 of the batch",
                "Term.1.weight": "0.001 (the released script). There the penalty is part of the reward, so a token "
                "answers for the divergence of later ones too; here each answers for its own",
            },
        ),
    ),
    origins={
        "MonteCarlo.label": "roll-outs label the steps here; the paper's model learnt from human labels (PRM800K)"
    },
)

pure_sum = replace(
    pure,
    name="pure-sum",
    parent="pure",
    about="PURE with the usual sum over steps in place of its minimum: what it warns of. Every step that the reward "
    "model likes pays, needed or not.",
    source_of="PURE, arXiv 2504.15275, section 3: the form it is compared with",
    recipes=(
        pure.recipes[0],
        replace(
            pure.recipes[1],
            name="pure-sum-rl",
            collect=tuple(replace(s, form="sum") if isinstance(s, StepReward) else s for s in pure.recipes[1].collect),
        ),
    ),
)

pav = Program(
    name="pav",
    family="process",
    parent="math-shepherd",
    about="A verifier learns how likely a fixed prover is to succeed from each step's end. Then the policy earns, on "
    "top of the outcome, what each of its steps adds to the success of the best of a few attempts of that prover.",
    source_of="PAV, arXiv 2410.08146, eq. 2 and 5, section 5, appendices D and E",
    recipes=(
        replace(
            math_shepherd,
            name="pav-verifier",
            collect=(Sample(15, actor="prover"), Verify(), Split(), MonteCarlo(20, actor="prover")),
            actors=(("policy", Policy()), ("prover", Frozen()), ("pav", Value())),
            updates=(replace(math_shepherd.updates[0], actor="pav"),),
        ),
        Recipe(
            name="pav-rl",
            source=Uniform(),
            collect=(
                Sample(8),
                Verify(),
                Total(),
                Split(),
                Annotate("ref"),
                Annotate("pav", "score", "q"),
                Progress(),
                GroupNorm(center="loo", scale="none"),
                Return("progress", gamma=0.0, weight=3.0, mode="add"),
            ),
            updates=(Update((Term(Reinforce()), Term(KL("k2"), 1e-3))),),
            loop=Loop(iterations=100, problems=32),
            actors=(("policy", Policy()), ("ref", Frozen()), ("pav", Value())),
            origins={
                "Progress.best_of": "4, the best prover for search (section 4.1). The paper's RL has the policy before "
                "rejection fine-tuning for prover; here that would be the policy itself, which adds nothing at first "
                "(section 3.2)",
                "Return.gamma": "0: a step earns its own progress (eq. 5). Summed to the end, progress is what the "
                "prover makes of the last step less a number known before: a baseline, no further reward",
                "Return.weight": "alpha = 3 for the paper's 9B model, 5 for its 2B; 0.5 to 6 helped (appendix E)",
                "GroupNorm.center": "the paper's baseline is a value model of outcome and progress (appendix E); here "
                "the other answers, of the outcome alone",
                "Term.1.weight": "0.001 (appendix E)",
            },
        ),
    ),
    origins={
        "MonteCarlo.n": "20 roll-outs of each prefix (appendix D)",
        "Sample.0.actor": "seeds drawn by the prover (section 1); the paper adds prefixes up to first errors, and "
        "draws rows above and below Q = 0.5 equally often (appendix D)",
    },
)
