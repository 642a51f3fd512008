"""One update of a recipe, with its optimiser: rows to minibatches to micro-batches to one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sharpen import numbers
from sharpen.actor.base import Actor
from sharpen.batching import connected, pack
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.parallel.deal import deal
from sharpen.recipe import Term, Update, updates_of
from sharpen.reduction import TRUNCATE, count, numerator, restrict, trust, trust_unit
from sharpen.tally import Tally
from sharpen.types import Batch, Group, Scored, Sets, Trace

REST = 1e-9
"""A loss that is nearer to 0 than this may well have no gradient."""


class Learner:
    """An update and the state of its optimiser."""

    def __init__(self, update: Update, name: str, actor: Actor) -> None:
        self.update = update
        self.name = name
        self.actor = actor
        self.steps = 0
        self.optimiser = self._fresh()

    def _fresh(self) -> torch.optim.AdamW:
        spec = self.update.optimiser
        named = self.actor.parameters()
        groups = [  # weight decay is for matrices
            {"params": [p for _, p in named if p.dim() > 1], "weight_decay": spec.weight_decay},
            {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.rate(), betas=(spec.beta1, spec.beta2), eps=spec.eps)

    def rate(self) -> float:
        """The learning rate of the next step."""
        spec = self.update.optimiser
        peak = (self.actor.rate if spec.lr is None else spec.lr) * spec.scale
        return peak * min(1.0, (self.steps + 1) / (spec.warmup + 1))

    def reset(self) -> None:
        """Forget everything the optimiser learnt."""
        self.steps = 0
        self.optimiser = self._fresh()

    def state(self) -> dict[str, Any]:
        """Plain data: the optimiser's state by parameter number, whole in the main process."""
        kept = self.actor.world.kept
        state = self.optimiser.state_dict()["state"]
        return {"steps": self.steps, "optimiser": {i: {k: kept(x) for k, x in s.items()} for i, s in state.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave once."""
        self.steps = state["steps"]
        whole = self.optimiser.state_dict()
        own = [p for g in self.optimiser.param_groups for p in g["params"]]
        like = self.actor.world.like
        whole["state"] = {
            i: {k: like(x, own[i]) for k, x in moments.items()} for i, moments in state["optimiser"].items()
        }
        self.optimiser.load_state_dict(whole)

    # ------------------------------------------------------------------ the update

    def learn(self, groups: list[Group], ctx: Ctx) -> None:
        """Go through the rows `epochs` times in minibatches, where it is this update's turn."""
        turn = ctx.step - ctx.start - self.update.start
        if turn < 0 or turn % self.update.every:
            return
        rows, sets = self.update.rows(groups, ctx)
        ctx.log(f"rows/{self.name}", len(rows))
        owner = {id(t): i for i, g in enumerate(groups) for t in g.traces}
        same = {id(g.problem): i for i, g in enumerate(groups)}  # rows that were made of a group's traces
        group = torch.tensor([owner.get(id(t), same.get(id(t.problem), -1)) for t in rows], dtype=torch.long)
        units = len(rows) if sets is None else len(sets.members)
        if units == 0:
            return
        size = self.update.minibatch or units
        for epoch in range(self.update.epochs):
            order = torch.randperm(units, generator=ctx.gen).tolist() if size < units else list(range(units))
            for start in range(0, units, size):
                chosen = order[start : start + size]
                if sets is None:
                    self._step([rows[i] for i in chosen], group[chosen], None, ctx, first=epoch == 0 and start == 0)
                else:
                    index, some = sets.take(chosen)
                    self._step([rows[i] for i in index], group[index], some, ctx, first=epoch == 0 and start == 0)

    def columns(self) -> tuple[str, ...]:
        """Per-atom columns the terms read, and those the checks look at."""
        names = [c for t in self.update.terms for c in t.columns]
        return tuple(dict.fromkeys(n for n in [*names, "logp_old"] if n not in ("traces", "reward", "solved")))

    def _step(self, rows: list[Trace], group: Tensor, sets: Sets | None, ctx: Ctx, first: bool) -> None:
        terms, columns = self.update.terms, self.columns()
        if any("mismatch" in s.cols for t in rows for s in t.actions):  # an engine with weights of its own drew some
            columns = (*columns, "mismatch")
        whole = self.actor.collate(rows, group, columns, sets)
        longest = self.actor.longest
        denominators = [count(t, whole, longest) for t in terms]
        self.optimiser.zero_grad(set_to_none=True)
        wants = tuple(dict.fromkeys(w for t in terms for w in t.loss.wants))
        world = self.actor.world
        tally = Tally(dict.fromkeys((t.label for t in terms), 0.0))
        bundles = self._bundles(rows, group, sets, whole)
        sizes = [self.actor.size(t) for t in rows]
        hands = deal([sum(sizes[i] for i in b) for b in bundles], world.size)
        packs = [pack([bundles[b] for b in hand], sizes, ctx.micro_tokens) for hand in hands]
        for micro in packs[world.rank]:
            batch = whole if len(micro) == len(rows) else self._part(rows, group, sets, micro, columns)
            new = self.actor.score(batch, wants)
            if first and self.update.actor not in ctx.touched:
                tally.gap.add(new, batch, f"{self.update.actor}@{ctx.step}")
            loss = torch.zeros(())
            for term, denominator in zip(terms, denominators, strict=True):
                value = numerator(term, new, batch) / denominator
                tally.sums[term.label] += float(value.detach())
                loss = loss + term.weight * value
                tally.watched += self._watch(term, new, batch)
            tally.watched += self._watch_engine(batch)
            if not numbers.finite(loss, new.logp, *new.extra.values()):
                atoms = [c for c in self.columns() if c in batch.cols]
                raise numbers.refuse(new, batch, terms, self.name, self.update.actor, ctx.step, atoms)
            world.backward(loss, new)
            tally.heard |= loss.requires_grad
            tally.atoms += len(batch)
        # a sharded model's processes must make equally many passes
        least = sizes.index(min(sizes))
        for _ in range(max(map(len, packs)) - len(packs[world.rank])):
            idle = self.actor.collate([rows[least]], group[[least]], ())
            world.backward(torch.zeros(()), self.actor.score(idle, wants))
        tally = tally.of_all(world)
        if not tally.heard:
            self.optimiser.zero_grad(set_to_none=True)  # no gradient is another thing than one of zeros
        for name, x, weight in tally.watched:
            ctx.log(name, x, weight)
        ctx.cost.trained_tokens += tally.atoms
        if "agreement" not in ctx.recipe.waive:
            tally.gap.check(self.actor.agreement, ctx)

        def source() -> str:
            """The first bundle of rows whose own gradient is not finite; looked for only where there is one."""
            for bundle in bundles if world.size == 1 else ():
                batch = self._part(rows, group, sets, bundle, columns)
                new = self.actor.score(batch, wants)
                self.optimiser.zero_grad(set_to_none=True)
                parts = zip(terms, denominators, strict=True)
                world.backward(sum((t.weight * numerator(t, new, batch) / d for t, d in parts), torch.zeros(())), new)
                if numbers.named((n, p.grad) for n, p in self.actor.parameters()):
                    return f", first for {'; with '.join(numbers.sample(rows[i]) for i in bundle[:2])}"
            return ""

        self._apply(ctx, heard=bool(bundles) and first and self._credited(whole, tally.sums), source=source)
        for label, total in tally.sums.items():
            ctx.log(f"loss/{label}", total)

    def _apply(self, ctx: Ctx, heard: bool, source: Callable[[], str]) -> None:
        spec, world, rate = self.update.optimiser, self.actor.world, self.rate()
        named = self.actor.parameters()
        parameters = [p for _, p in named]
        total = numbers.norm(p.grad for p in parameters if p.grad is not None)
        norm, weights = world.number(total), world.number(numbers.norm(p.detach() for p in parameters))
        wrong = numbers.unsound(named, norm, weights, numbers.reach(weights, spec.clip, rate, spec))
        if wrong:
            where = f"in update {self.name!r} of actor {self.update.actor!r} in iteration {ctx.step}"
            first = source() if wrong.startswith("The gradient") else ""
            self.optimiser.zero_grad(set_to_none=True)
            raise numbers.NotFinite(
                f"{wrong} {where}{first}. {numbers.KEPT} Lower the learning rate "
                f"(`--set AdamW.lr={rate / 3:.0e}`) or compute in float32."
            )
        torch.nn.utils.clip_grads_with_norm_(parameters, spec.clip, total)
        if norm == 0 and heard and "gradient" not in ctx.recipe.waive:
            raise SharpenError(
                f"No gradient reached the weights in update {self.name!r} of iteration {ctx.step}, although some rows "
                "carry credit. "
                "A loss has been cut off from the policy, or every trained parameter is frozen: look at the terms with "
                "`sharpen show`, and at the LoRA options."
            )
        for g in self.optimiser.param_groups:
            g["lr"] = rate
        self.optimiser.step()
        self.actor.changed()
        self.steps += 1
        ctx.touched.add(self.update.actor)
        ctx.follow(self.update.actor)
        ctx.cost.updates += 1
        several = len(updates_of(ctx.recipe)) > 1
        ctx.log(f"grad_norm/{self.name}" if several else "grad_norm", norm)
        ctx.log(f"lr/{self.name}" if several else "lr", rate)

    def _part(
        self, rows: list[Trace], group: Tensor, sets: Sets | None, micro: list[int], columns: Sequence[str]
    ) -> Batch:
        chosen = [rows[i] for i in micro]
        some = None
        if sets is not None:
            new = {r: k for k, r in enumerate(micro)}
            inside = [i for i, m in enumerate(sets.members) if all(r in new for r in m)]
            some = Sets(
                [tuple(new[r] for r in sets.members[i]) for i in inside],
                {name: col[inside] for name, col in sets.cols.items()},
            )
        return self.actor.collate(chosen, group[micro], columns, some)

    def _bundles(self, rows: list[Trace], group: Tensor, sets: Sets | None, whole: Batch) -> list[list[int]]:
        """Rows that must share a micro-batch.

        Those no term sends any gradient through are left out (never counted out).
        """
        terms = self.update.terms
        if sets is not None:
            return connected(len(rows), sets.members)
        if any(t.loss.unit in ("group", "batch") for t in terms):
            if any(t.loss.unit == "batch" for t in terms):
                return [list(range(len(rows)))]
            return [[i for i, g in enumerate(group.tolist()) if g == k] for k in dict.fromkeys(group.tolist())]
        gates = [t.loss.silent_where for t in terms]
        if any(g is None for g in gates):
            return [[i] for i in range(len(rows))]
        heard = torch.zeros(len(rows), dtype=torch.bool)
        for gate in gates:
            heard[whole.trace[whole.cols[gate] != 0]] = True
        return [[i] for i in range(len(rows)) if heard[i]]

    def _credited(self, whole: Batch, losses: Mapping[str, float]) -> bool:
        """Whether a gradient is to be expected: a term that credit switches on has some; or none is of that kind, and
        their values are not at rest at 0, as those of squares are at their optimum.

        (A KL term alone has none as long as the policy is its reference.)
        """
        gates = [g for t in self.update.terms if (g := t.loss.silent_where) is not None]
        if not gates:
            return any(abs(x) > REST for x in losses.values())
        return any(bool((whole.cols[g] != 0).any()) for g in gates)

    # ------------------------------------------------------------------ checks and figures

    @torch.no_grad()
    def _watch(self, term: Term, new: Scored, batch: Batch) -> list[tuple[str, float, int]]:
        """What a loss shows of itself: names, means, and over how many."""
        if not hasattr(term.loss, "watch"):
            return []
        if term.where:
            scored, batch = restrict(new, batch, term.where)
            assert scored is not None
            new = scored
        return [(name, float(x.mean()), x.numel()) for name, x in term.loss.watch(new, batch).items() if x.numel()]

    def _watch_engine(self, batch: Batch) -> list[tuple[str, float, int]]:
        """How far an engine's log-probs lie from the trainer's, and what its samples weigh for it."""
        if "mismatch" not in batch.cols:
            return []
        gap = batch.cols["mismatch"]
        known = ~gap.isnan()
        n = int(known.sum())
        if not n:
            return []
        found = [("engine/gap", float(gap[known].abs().mean()), n)]
        for unit in dict.fromkeys(u for t in self.update.terms if (u := trust_unit(t.loss))):
            w = trust(batch, unit)[known]
            found.append(("engine/trust", float(w.mean()), n))
            found.append(("engine/truncated", float((w >= TRUNCATE).float().mean()), n))
        return found
