"""What a run leaves on disk: manifest, metrics, rollouts, checkpoints; and trackers that mirror its metrics."""
