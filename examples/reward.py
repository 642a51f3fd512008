"""A reward of your own: `sharpen train grpo --task chain --reward examples/reward.py:shorter`."""


def shorter(text, problem):
    """0 for a wrong answer; 1 for a right one, and up to 0.5 more the shorter the text is.

    `text` is what the model wrote, `problem.answer` the right answer. A text answers in its last line, `#7`. A trace
    counts as solved from a reward of 1 on, so accuracy is that of the answers.
    """
    lines = text.strip().split("\n")
    if lines[-1] != f"#{problem.answer}":
        return 0.0
    return 1.0 + 0.5 * max(0.0, 1.0 - len(text) / 100)
