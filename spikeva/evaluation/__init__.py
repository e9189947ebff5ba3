"""How good a model is, how sure that is, and what it costs: arrays in, numbers out.

`metrics` (RMSE, PCC, CCC, SAGR), `statistics` (intervals and tests over subjects), `emotion` (from valence and
arousal to an emotion), `baselines` (what any model has to beat), `cost` (operations, memory, energy and latency of a
network; the only part that needs torch).
"""

from spikeva.evaluation import baselines, cost, emotion, metrics, statistics

__all__ = ["baselines", "cost", "emotion", "metrics", "statistics"]
