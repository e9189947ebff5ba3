"""Online inference: events in as they come, valence and arousal out whenever a window is full."""

from spikeva.live.follower import Follower, Prediction

__all__ = ["Follower", "Prediction"]
