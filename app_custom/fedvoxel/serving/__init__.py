"""Lets other programs use a signed package over the network: a model server of the Open Inference Protocol v2.

The room is a door: it turns requests into volumes and results into replies, and `evaluation.inference` does the rest,
with the same refusals as `fedvoxel predict`. What needs KServe is in `package_server`, `package_model` and `data_plane`
alone; everything else runs without it.
"""
