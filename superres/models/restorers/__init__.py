"""Restorers: a backbone with its losses and its data preprocessor."""
