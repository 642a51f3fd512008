"""Answers that are criticised and given anew."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import Entropy
from sharpen.loss.shaped import Shaped
from sharpen.recipe import Term, Update
from sharpen.recipes.policy import dr_grpo
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.critique import Refine
from sharpen.rollout.sample import Sample

critique_grpo = replace(
    dr_grpo,
    name="critique-grpo",
    family="critique",
    parent="dr-grpo",
    about="Each answer is criticised and given anew; the best of the new ones joins the group as if it had been said "
    "at once, and is learnt from most where it is unlikely.",
    source_of="Critique-GRPO, arXiv 2506.03106, as in its released loss, rollout and script",
    collect=(Sample(7), Verify(), Refine(), Total(), GroupNorm(scale="none")),
    updates=(Update((Term(Shaped(), mean_over="horizon"), Term(Entropy(), weight=1e-3, mean_over="atom"))),),
    origins={
        "Sample.n": "7 drafts and 1 refinement (released script)",
        "Refine.critic": "the release says whether the answer is right and what is (`truth`); here its first wrong "
        "step, by the task",
        "Refine.again": "the release puts question, draft and critique into one new question",
        "Shaped.gamma": "0.1 (released script)",
        "Term.shaped.mean_over": "a fixed length (released script)",
        "Term.entropy.weight": "0.001 (released script)",
        "GroupNorm.scale": "the script asks for no division by the standard deviation; the released trainer reads "
        "another switch, which is on by default (`--set GroupNorm.scale=std`)",
    },
)
