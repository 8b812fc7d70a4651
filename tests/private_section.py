"""A small job's privacy section, for each patient."""

PRIVACY = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 2.0,
    "sampling_probability": 0.5,
    "steps_per_round": 3,
    "delta": 1e-3,
    "expected_batch": 3,
}
