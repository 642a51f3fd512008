"""A mis-wired recipe fails when it is built, saying what is missing and who would supply it."""

from dataclasses import replace

import pytest

from sharpen.core import Part, addresses, reads
from sharpen.credit.peers import GroupNorm
from sharpen.errors import SharpenError
from sharpen.loss.policy import PPOClip
from sharpen.recipe import Frozen, Policy, Recipe, Term, Update, check
from sharpen.recipes import all_recipes, recipe
from sharpen.reward.verify import Reward, Total, Verify
from sharpen.rollout.combinators import Refill, Vary, When, all_failed, mixed
from sharpen.rollout.edit import Annotate, Demonstrate
from sharpen.rollout.sample import Sample
from sharpen.source.problems import Uniform
from toy import Copy

grpo = recipe("grpo")


def refusal(**changes) -> str:
    with pytest.raises(SharpenError) as caught:
        replace(grpo, **changes)
    return str(caught.value)


def test_recipes_come_by_family():
    names = list(all_recipes())
    assert names[:3] == ["sft", "expert-iteration", "rest-em"]
    assert names.index("rest-em") < names.index("grpo") < names.index("ppo")
    assert len(names) == len(set(names))


def test_missing_credit_names_the_loss_and_the_parts_that_write_it():
    text = refusal(collect=(Sample(4), Verify(), Total(), Annotate("ref")))
    assert "PPOClip reads 'adv'" in text
    assert "GroupNorm" in text


def test_missing_reference():
    assert "KL reads 'logp_ref'" in refusal(collect=(Sample(4), Verify(), Total(), GroupNorm()))


def test_total_before_verify():
    assert "Total reads 'reward:*'" in refusal(collect=(Sample(4), Total(), Verify(), Annotate("ref"), GroupNorm()))


def test_a_reward_after_credit_would_be_ignored():
    late = (Sample(4), Verify(), Total(), GroupNorm(), Annotate("ref"), Total({"correct": 2.0}))
    text = refusal(collect=late)
    assert "Total writes 'reward' after GroupNorm has used it" in text
    assert "Put Total before GroupNorm" in text


def test_predicates_are_checked_too():
    text = refusal(
        collect=(Sample(4), Refill((Sample(4),), keep=mixed), Verify(), Total(), Annotate("ref"), GroupNorm())
    )
    assert "Refill reads 'solved'" in text
    assert "Verify" in text


def test_what_only_a_branch_writes_is_not_counted_on():
    stages = (Sample(4), Verify(), When(all_failed, (Total(),)), Annotate("ref"), GroupNorm())
    assert "GroupNorm reads 'reward'" in refusal(collect=stages)


def test_extra_rollouts_in_a_branch_are_fine():
    stages = (Sample(4), Verify(), When(all_failed, (Sample(4), Verify())), Total(), Annotate("ref"), GroupNorm())
    assert replace(grpo, collect=stages).collect == stages


def test_extra_rollouts_that_nobody_judges_are_refused():
    stages = (Sample(4), Verify(), When(all_failed, (Sample(4),)), Total(), Annotate("ref"), GroupNorm())
    assert "Total reads 'reward:*'" in refusal(collect=stages)


def test_a_reward_the_task_does_not_know_is_refused_once_there_is_a_task():
    wrong = replace(grpo, collect=(Sample(4), Verify(), Total({"beauty": 1.0}), Annotate("ref"), GroupNorm()))
    with pytest.raises(SharpenError, match="'beauty', and task 'copy' computes correct, short"):
        check(wrong, Copy())
    check(replace(wrong, collect=(Sample(4), Verify(), Total({"short": 1.0}), Annotate("ref"), GroupNorm())), Copy())


def test_a_reward_of_ones_own_counts_as_known():
    stages = (Sample(4), Verify(), Reward(len, "long"), Total({"long": 1.0}), Annotate("ref"), GroupNorm())
    check(replace(grpo, collect=stages), Copy())


def test_what_a_part_needs_of_the_task():
    class Bare(Copy):
        gives = frozenset({"answer"})

    with pytest.raises(SharpenError, match="Demonstrate needs 'solution' of the task"):
        check(recipe("sft"), Bare())


def test_unknown_actor_of_an_update_and_of_a_copy():
    assert "trains the actor 'critic'; its actors are policy, ref" in refusal(
        updates=(Update((Term(PPOClip()),), actor="critic"),)
    )
    assert "copy of 'polcy'" in refusal(actors=(("policy", Policy()), ("ref", Frozen("polcy"))))


def test_a_horizon_is_no_negative_number():
    with pytest.raises(SharpenError, match="horizon is -1, and must be 0 or more"):
        Term(PPOClip(), mean_over="horizon", horizon=-1)


def test_addresses_count_parts_of_a_kind():
    names = addresses(grpo)
    assert list(names)[:4] == ["Uniform", "Sample", "Verify", "Total"]
    assert [n for n in names if n.startswith("Term")] == ["Term", "Term.1"]


def test_unknown_recipe_lists_near_names():
    with pytest.raises(SharpenError, match="Did you mean grpo"):
        recipe("grop")


def test_parts_with_memory_cannot_vary():
    class Counter(Part):
        def init(self):
            return {"n": 0}

    with pytest.raises(ValueError, match="remembers things"):
        Vary(Counter(), "n", "knob")
    with pytest.raises(ValueError, match="no field 'heat'"):
        Vary(Sample(), "heat", "knob")


def test_reads_marks_a_predicate():
    @reads("value")
    def sure(group) -> bool:
        return True

    with pytest.raises(SharpenError, match="When reads 'value'"):
        Recipe("x", Uniform(), (Sample(2), When(sure, (Demonstrate(),))), ())
