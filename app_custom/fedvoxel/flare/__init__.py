"""The stairs between NVIDIA FLARE and the core: convert, call one core function, convert back. No arithmetic."""
