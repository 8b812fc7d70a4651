"""A site's training: MONAI networks, losses, transforms and inference, driven by the job's typed configuration."""
