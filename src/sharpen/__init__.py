"""sharpen: make a model reason better by reinforcement, every method a short recipe over shared parts."""

__version__ = "0.1.0"
