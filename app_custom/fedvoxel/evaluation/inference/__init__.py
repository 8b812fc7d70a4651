"""A signed package on a hospital's own study: no torch, no FLARE, in bounded memory."""
