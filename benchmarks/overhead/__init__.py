"""What a federation costs in wall time: ours, stock FLARE's and a plain process pool, with the same training."""
