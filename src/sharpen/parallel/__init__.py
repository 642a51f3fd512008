"""One run in several processes: the same computation, its heavy work shared out."""
