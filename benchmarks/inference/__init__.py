"""What using a model costs where the clinician sits."""
