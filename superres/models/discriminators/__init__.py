"""Discriminators: (N, 3, H, W) in [0, 1] to logits."""
