"""Upscaling for people with images: files and folders, videos, and the calls of a notebook.

`TiledUpscaler` applies a network to an image of any size, kind and scale; the modules around it
read and write files with all that they carry, and `superres.cli.upscale` is the command.
"""
