"""Whether a model in use still meets what it was calibrated on: images like those, and findings like those."""
