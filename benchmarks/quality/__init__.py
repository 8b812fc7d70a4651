"""How good the estimates of quality, the warnings of unlike images and the calibration are on unseen patients."""
