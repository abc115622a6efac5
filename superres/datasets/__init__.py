"""Image stores, paired datasets, transforms and samplers.

Importing this folder imports none of them: packing images needs no torch.
"""
