"""The pixel model's engines: the same events from readable NumPy, from compiled CPU code and from torch."""
