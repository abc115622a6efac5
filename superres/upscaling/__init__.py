"""Upscaling for people with pictures: files and folders, videos, and the calls of a notebook.

`Enlarger` applies a network to a picture of any size, kind and scale; the modules around it read
and write files with all that they carry, and `superres.cli.upscale` is the command.
"""
