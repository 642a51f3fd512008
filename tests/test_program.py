"""Programs are sequential code run at batch speed, in the same order each time."""

import asyncio
import random

import pytest

from sharpen.actor.scripted import ScriptedActor
from sharpen.cost import Cost
from sharpen.rollout.program import Play, answer, episode, run_programs
from sharpen.task import Grid
from sharpen.types import Problem, Sampling, Trace
from toy import Copy


def run(program, n, actors, rng=None, cost=None):
    problems = [Problem(str(i), f"{i}?") for i in range(n)]
    return run_programs(
        program,
        problems,
        Sampling(),
        task=Copy(),
        actors=actors,
        actor="policy",
        rng=rng or random.Random(0),
        cost=cost,
    )


def test_everything_that_waits_is_drawn_together():
    actor = ScriptedActor(lambda context, rng: context + "!")
    cost = Cost()
    traces = run(answer, 5, {"policy": actor}, cost=cost)
    assert actor.batches == [5]
    assert [t[0].text for t in traces] == ["0?!", "1?!", "2?!", "3?!", "4?!"]
    assert (cost.generated_tokens, cost.prompt_tokens) == (15, 10)


async def three_turns(play: Play) -> Trace:
    context = play.prompt()
    for _ in range(3):
        context.append(await play.sample(context))
        context.append(play.say("|"))
    return Trace(play.problem, context)


def test_turns_of_many_episodes_share_batches():
    actor = ScriptedActor(lambda context, rng: "x")
    traces = run(three_turns, 4, {"policy": actor})
    assert actor.batches == [4, 4, 4]
    assert [s.text for s in traces[0][0].segments] == ["0?", "x", "|", "x", "|", "x", "|"]


async def branches(play: Play) -> list[Trace]:
    context = play.prompt()
    drawn = await asyncio.gather(*(play.sample(context) for _ in range(3)))
    return [Trace(play.problem, [*context, s]) for s in drawn]


def test_parallel_samples_of_one_program_and_deep_chains_join_one_batch():
    async def deep(play: Play) -> Trace:
        async def inner():
            async def innermost():
                return await play.sample(play.prompt())

            return await innermost()

        return Trace(play.problem, [*play.prompt(), await inner()])

    actor = ScriptedActor(lambda context, rng: str(rng.randrange(10**6)))
    traces = run(branches, 2, {"policy": actor})
    assert actor.batches == [6]
    assert len(traces[0]) == 3
    assert len({t.text for ts in traces for t in ts}) == 6
    run(deep, 3, {"policy": actor})
    assert actor.batches == [6, 3]


def test_seeds_do_not_depend_on_what_others_do():
    async def chatty(play: Play) -> Trace:
        for _ in range(int(play.problem.key)):
            await play.sample(play.prompt())
        return await answer(play)

    actor = ScriptedActor(lambda context, rng: str(rng.randrange(10**9)))
    first = [t[0].text for t in run(chatty, 4, {"policy": actor}, random.Random(7))]
    again = [t[0].text for t in run(chatty, 4, {"policy": actor}, random.Random(7))]
    other = [t[0].text for t in run(chatty, 4, {"policy": actor}, random.Random(8))]
    plain = [t[0].text for t in run(answer, 4, {"policy": actor}, random.Random(7))]
    assert first == again
    assert first != other
    assert first[0] == plain[0]
    assert first[1] != plain[1]


def test_two_actors_are_batched_apart():
    async def critique(play: Play) -> Trace:
        draft = await play.sample(play.prompt())
        verdict = await play.sample([*play.prompt(), draft], actor="judge")
        return Trace(play.problem, [*play.prompt(), draft, verdict])

    policy = ScriptedActor(lambda c, r: "a")
    judge = ScriptedActor(lambda c, r: "no" if c.startswith("1") else "yes")
    traces = run(critique, 3, {"policy": policy, "judge": judge})
    assert (policy.batches, judge.batches) == ([3], [3])
    assert [t[0].segments[-1].text for t in traces] == ["yes", "no", "yes"]
    assert traces[0][0].segments[-1].by == "judge@0"


def test_an_episode_that_outgrows_the_context_ends_without_success():
    task = Grid(3, 3, 4, 4, slack=5.0)
    problem = task.fixed("train", 1)[0]
    actor = ScriptedActor(lambda c, r: "?")
    # the prompt has 11 characters, each turn adds one, each observation 13: `!`, a line feed, the picture
    for limit, turns in ((12, 1), (25, 1), (26, 2), (0, problem.info["limit"])):
        actor.max_context = limit
        plays = run_programs(
            episode, [problem], Sampling(), task=task, actors={"p": actor}, actor="p", rng=random.Random(0)
        )
        trace = plays[0][0]
        assert len(trace.actions) == turns
        assert (trace.end, trace.segments[-1].text, trace.info) == (
            "length" if limit else "stop",
            "?",
            {"success": False},
        )


def test_a_failing_program_ends_the_others_and_is_raised():
    async def bad(play: Play) -> Trace:
        if play.problem.key == "1":
            raise RuntimeError("no such tool")
        return await three_turns(play)

    with pytest.raises(RuntimeError, match="no such tool"):
        run(bad, 3, {"policy": ScriptedActor(lambda c, r: "x")})


def test_inside_a_running_loop_as_in_a_notebook():
    async def cell():
        return run(answer, 2, {"policy": ScriptedActor(lambda c, r: "ok")})

    assert [t[0].text for t in asyncio.run(cell())] == ["ok", "ok"]
