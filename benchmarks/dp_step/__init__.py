"""What a training step with patient-level privacy costs."""
