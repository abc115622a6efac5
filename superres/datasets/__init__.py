"""Picture stores, paired datasets, transforms and samplers.

Importing this folder imports none of them: packing pictures needs no torch.
"""
