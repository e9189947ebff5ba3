"""The paper's side of the comparison: networks with continuous activations, `[B, T, C, H, W]` -> `[B, 2]`.

One file a family: `convnet` (four convolutions), `fusion` (ResNet-18 on one frame or on K fused frames, the paper's
baseline), `sequence` (ResNet-18 under an LSTM or a transformer), `r2plus1d` (spatio-temporal convolutions). `resnet`
holds the backbone they share, `weights` finds pretrained weights.
"""
