"""How far one result can be trusted: confidence, estimated quality, volume intervals, likeness to the training cases.

Numpy and scipy on what ONNX Runtime computes; a hospital that calibrates has the same code look at what torch computes.
"""
