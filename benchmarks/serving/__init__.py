"""What it costs to ask a model over the network."""
