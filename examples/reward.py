"""Reward functions of one's own, for `--reward examples/reward.py:NAME`."""


def tidy(text, problem):
    """1 for the right answer in at most four lines, 0 for anything else."""
    lines = text.strip().split("\n")
    return float(lines[-1] == f"#{problem.answer}" and len(lines) <= 4)


def graded(text, problem):
    """Two rewards: the one named `reward` decides what is solved, the other is recorded beside it."""
    said = text.strip().split("\n")[-1]
    near = said[:1] == "#" and said[1:].isdigit() and abs(int(said[1:]) - int(problem.answer)) <= 1
    return {"reward": float(said == f"#{problem.answer}"), "near": float(near)}


async def judged(texts, problems):
    """All answers of a call at once, as a service that judges in batches would want them."""
    return [float(text.strip().endswith(f"#{problem.answer}")) for text, problem in zip(texts, problems, strict=True)]
