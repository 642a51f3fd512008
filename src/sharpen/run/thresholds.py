"""From where on a figure of a run is worth a word: every threshold with its reason."""

ALL_FAILED = 0.75
"""Three of four groups without one right answer: at most a quarter of the samples can teach what is right."""

ALL_FAILED_STOP = 0.98
"""Fewer than one group in fifty has a right answer: nothing will be learned in any reasonable time."""

ALL_SOLVED = 0.75
"""Three of four groups have nothing left to learn."""

FEW_SIGNALS = 0.1
"""Nine of ten groups cost sampling and give no gradient."""

OTHER_SIGNAL = 0.5
"""Groups of failures that still give this share of gradients learn from another reward than being right."""

ENTROPY_SHARE = 0.1
"""A tenth of the entropy it started with is left ..."""

ENTROPY_LOW = 0.05
"""... and below this many nats a token two samples of one problem are nearly always the same."""

TRUNCATED = 0.5
"""Every other answer ends at the limit, so the limit decides the reward as often as the model does."""

TRUNCATED_STOP = 0.95
"""Hardly any answer is finished."""

FORMAT_NEVER = 0.02
"""One answer in fifty: among 16 samples of a problem usually none shows the format, so it cannot be reinforced."""

LENGTH_GROWTH = 1.5
"""Half as long again: more than answers drift by chance over a run."""

SOLVED_FLAT = 0.02
"""Gains below this are within the noise of a mean over the usual few hundred answers."""

REWARD_GAIN = 0.1
"""A tenth of the range of most rewards (0 to 1), well above the noise."""

SPIKE = 10.0
"""Clipping hides the size of such a gradient but not its direction, which one bad batch then decides."""

SPIKES_MANY = 3
"""One spike happens; three are a pattern."""

GRADIENT_ZERO = 1e-8
"""AdamW's usual epsilon: gradients below it move no weight."""

KL_HIGH = 1.0
"""One nat a token: on average the policy finds its own tokens e times as likely as the reference does."""

CLIPPED = 0.3
"""Healthy runs clip a few per cent; at this share the clip, no longer the advantages, shapes the step."""

AGREEMENT = 0.05
"""Over 100 tokens such a mean difference is a ratio of up to exp(5) that no policy change explains."""

TRAIN_GAIN = 0.1
"""A gain in training that an evaluation of a few hundred problems would show if it carried over."""
