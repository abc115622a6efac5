"""Losses: ``forward(pred, target)`` gives a scalar."""
