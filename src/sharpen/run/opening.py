"""How what a run is given becomes objects: its task, its model, the engine that draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sharpen.actor.base import Actor
from sharpen.actor.engine.choose import engine_of
from sharpen.actor.flow import FlowActor, is_flow, load_flow
from sharpen.actor.flowbase import FlowNano, flow_base
from sharpen.actor.language import LanguageActor
from sharpen.actor.load import load_language, wrap
from sharpen.actor.nano import Nano, character_tokenizer, nano_base, nano_model
from sharpen.actor.velocity import velocity_field
from sharpen.errors import SharpenError
from sharpen.run.setup import Setup
from sharpen.run.watching import Silent, Watcher
from sharpen.task.base import Task
from sharpen.task.latent import Latent, latent_task
from sharpen.task.resolve import task_of


def open_task(setup: Setup) -> Task:
    """The task, with the user's own reward if there is one."""
    task = task_of(setup.task, **setup.task_options)
    if setup.reward:
        from sharpen.task.userfn import UserReward, with_reward

        user = UserReward(setup.reward, workers=setup.reward_workers, timeout=setup.reward_timeout)
        task = with_reward(task, user)
    return task


def open_policy(setup: Setup, task: Task, watcher: Watcher | None = None) -> Actor:
    """The model; `nano` is trained for the task on first use.

    A task of latents has a flow policy, any other a language model; a model of the other kind is refused.
    """
    latent = latent_task(task)
    made = setup.model == "nano"
    source: str | Path = setup.model
    if made:
        watch = watcher or Silent()
        source = _flow_base(latent, watch) if latent else _nano_base(task, setup, watch)
    try:
        return load_flow(source, setup.model_setup) if latent else _language(source, setup, task)
    except SharpenError as error:
        if not made or "could not be loaded" not in str(error):
            raise
        raise SharpenError(f"{error} It was made by sharpen and kept: delete {source} to have it made anew.") from error


def _nano(setup: Setup) -> Nano:
    """The nano model of a run: for vLLM, which has no attention for heads of 16 numbers, it has half as many heads."""
    return replace(Nano(), heads=2) if "vllm" in setup.engine else Nano()


def _nano_base(task: Task, setup: Setup, watch: Watcher) -> Path:
    nano = _nano(setup)
    return nano_base(task, nano, _progress(watch, nano.steps))


def _flow_base(task: Latent, watch: Watcher) -> Path:
    nano = FlowNano()
    return flow_base(task, nano, _progress(watch, nano.length(task)))


def _progress(watch: Watcher, total: int) -> Callable[[int, float], None]:
    """What tells a watcher how a base model learns; it hears nothing of one that was kept."""
    begun = False

    def progress(step: int, loss: float) -> None:
        nonlocal begun
        if not begun:
            watch.phase("training the nano base model (once, then kept)", total)
            begun = True
        watch.update(step, {"loss": loss})

    return progress


def _language(source: str | Path, setup: Setup, task: Task) -> LanguageActor:
    if is_flow(source):
        raise SharpenError(
            f"The model {str(source)!r} is a flow policy, which draws latents, and task {task.name!r} is answered in "
            "text. Give a language model, or a task with latents (`sharpen tasks` says what each gives)."
        )
    return fitted(load_language(source, setup.model_setup), task)


@contextmanager
def serving(policy: Actor, setup: Setup, folder: Path | None = None, watcher: Watcher | None = None) -> Iterator[None]:
    """Within, the policy draws on the engine of the setup, which is closed at the end; all its copies draw locally.

    The log of a server or a cluster is left in `folder`; without one it goes with everything else. `watcher` is told
    of what happens to the engine and does not end the run.
    """
    with ExitStack() as stack:
        stack.callback(policy.close)
        if setup.engine != "local":
            where = folder or Path(stack.enter_context(TemporaryDirectory(prefix="sharpen-engine-")))
            engine = engine_of(setup.engine, policy, where, setup.workers, (watcher or Silent()).message)
            assert isinstance(policy, LanguageActor)
            policy.serve(engine)
        yield


def sketch_policy(setup: Setup, task: Task) -> Actor:
    """The model as far as a plan needs it: `nano` is built and not trained, so nothing is written."""
    if setup.model != "nano":
        return open_policy(setup, task)
    latent = latent_task(task)
    if latent:
        config = FlowNano().config(latent)
        return FlowActor(velocity_field(config), config, max_tokens=setup.model_setup.max_tokens)
    return fitted(wrap(nano_model(_nano(setup)), character_tokenizer(), setup.model_setup), task)


def fitted(actor: LanguageActor, task: Task) -> LanguageActor:
    """The actor with the task's limit of answers where no other was given, checked against the task's text."""
    if not actor.max_tokens:
        actor.max_tokens = task.max_tokens
    round_trip(actor, task)
    return actor


def round_trip(actor: LanguageActor, task: Task) -> None:
    """Text must survive becoming tokens and text again, else a verifier judges something else than was meant."""
    for problem in (p for split in task.splits for p in task.fixed(split, 8)):
        texts = [problem.prompt] if isinstance(problem.prompt, str) else [m["content"] for m in problem.prompt]
        texts += ["\n".join(problem.solution)] if problem.solution else []
        for text in texts:
            back = actor.decode(actor.encode(text))
            if back != text and back.strip() != text.strip():
                at = next(
                    (i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back))
                )
                raise SharpenError(
                    f"The model's tokenizer does not give back the text of problem {problem.key!r}: at character {at} "
                    f"{text[at : at + 20]!r} became {back[at : at + 20]!r}. Use a tokenizer that knows these "
                    "characters (the nano "
                    "model knows printable ASCII), or change the task's text."
                )
