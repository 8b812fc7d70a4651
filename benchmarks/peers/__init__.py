"""The same federated work by FedVoxel, stock FLARE and Flower: wall time, bytes, memory and Dice, in one run."""
