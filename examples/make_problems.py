"""Writes problems.jsonl: all sums of two numbers from 10 to 49, in steps, some held out by `sharpen` itself."""

import json
import random
from pathlib import Path

rng = random.Random(0)
sums = [(a, b) for a in range(10, 50) for b in range(10, 50)]
with open(Path(__file__).with_name("problems.jsonl"), "w") as file:
    for a, b in sorted(rng.sample(sums, 400)):
        ones, tens = a % 10 + b % 10, a // 10 + b // 10
        steps = [f"{a % 10}+{b % 10}={ones}", f"{a // 10}+{b // 10}+{ones // 10}={tens + ones // 10}", f"#{a + b}"]
        file.write(json.dumps({"prompt": f"{a}+{b}?", "answer": a + b, "solution": steps}) + "\n")
