"""A run as an OpenTelemetry trace, made of what the server's audit log says and sent beside the run."""
