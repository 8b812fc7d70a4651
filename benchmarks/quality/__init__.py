"""How good the estimate of quality, the warning of unlike images and the calibration are on patients not seen before."""
