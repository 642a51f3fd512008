"""Reinforcement with parts of worked solutions, for problems that are never solved by chance."""

import math
from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import NLL, Entropy, PPOClip
from sharpen.recipe import Term, Update
from sharpen.recipes.policy import dr_grpo
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import Cosine, Vary, When, all_failed
from sharpen.rollout.edit import Annotate
from sharpen.rollout.hints import Hint, Prefix, Remember, TopEntropy
from sharpen.rollout.sample import Sample
from sharpen.rows import Take

_draw, _judge = Sample(8), Verify()

ghpo = replace(
    dr_grpo,
    name="ghpo",
    family="hints",
    parent="grpo",
    about="When no answer to a problem is right, the first quarter of its worked solution is given and the group drawn "
    "anew; then half of it, then three quarters. The hint stays in the prompt that is trained on.",
    source_of="GHPO, arXiv 2507.10628, as in its released trainer",
    collect=(
        _draw,
        _judge,
        *(When(all_failed, (Hint(share), _draw, _judge)) for share in (0.25, 0.5, 0.75)),
        Total(),
        GroupNorm(),
    ),
    updates=(Update((Term(PPOClip()),)),),
    origins={
        "Sample.n": "8 (released configuration)",
        "Hint.0.share": "25, 50 and 75 % of the solution's characters (released trainer, which shows them in the "
        "question; here the answer begins with them)",
        "GroupNorm.scale": "divided by the standard deviation (released trainer)",
        "Total.weights": "accuracy; the release adds half a reward for the format, which is the task's to give",
    },
)

prefix_rft = replace(
    dr_grpo,
    name="prefix-rft",
    family="hints",
    parent="dr-grpo",
    about="One answer of each group begins as the worked solution does and is finished by the policy. Its prefix earns "
    "what the answer earns, and is trained on where the policy is least sure.",
    source_of="Prefix-RFT, arXiv 2507.01679, section 3 and A.2, and its released code",
    collect=(
        Sample(7),
        Vary(Prefix(), "low", Cosine(0.95, 0.05)),
        Verify(),
        Annotate("policy", "logp", "logp_old", missing=True),
        Annotate("policy", "entropy", "entropy", missing=True),
        TopEntropy(),
        Total(),
        GroupNorm(scale="none"),
    ),
    updates=(Update((Term(PPOClip(), mean_over="horizon", where="learn"),)),),
    origins={
        "Sample.n": "8 answers, one of them begun (A.2)",
        "Prefix.high": "0.95 (A.2)",
        "Vary.by": "low from 0.95 to 0.05 by a cosine (A.2)",
        "TopEntropy.share": "0.2 (A.2); of all prefix tokens of the iteration",
        "GroupNorm.scale": "Dr. GRPO's credit (A.2)",
        "Annotate.0.actor": "a prefix has no behaviour policy; its old log-prob is the policy's own before the update",
    },
)

_bonus = Term(Entropy(), weight=1e-3, mean_over="atom")

relift = replace(
    dr_grpo,
    name="relift",
    family="hints",
    parent="dr-grpo",
    about="Reinforcement goes on undisturbed; the demonstrations of problems that nobody solved are kept, and whenever "
    "there are enough of them, one step imitates them.",
    source_of="ReLIFT, arXiv 2506.07527, as in its released trainer and script for the 7B model",
    collect=(Sample(8), Verify(), Remember(), Total(), GroupNorm(scale="none")),
    updates=(
        Update((Term(PPOClip(math.inf, math.inf), mean_over="horizon"), _bonus), name="reinforce"),
        Update((Term(NLL(), mean_over="atom"), _bonus), rows=Take("hard", 128), name="imitate"),
    ),
    origins={
        "Sample.n": "8 (released script)",
        "PPOClip.low": "the release removes the clip",
        "Term.entropy.weight": "0.001 in both updates (released script)",
        "Take.n": "128 (released script); the oldest first, where the release takes the newest",
        "AdamW.0.lr": "1e-6 for both updates at 7B (released script): the model's own",
    },
)
