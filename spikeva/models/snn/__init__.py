"""Spiking networks: `[B, T, C, H, W]` -> `[B, 2]`, time steps first inside.

`layers` threads explicit state through layers and folds convolutions and norms over time and batch, `readout` turns the
spikes of all steps into (valence, arousal), `convnet` and its siblings are topologies.
"""
