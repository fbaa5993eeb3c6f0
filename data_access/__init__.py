"""The part that reads: lazy frames over a telemetry home, filters, windows and metrics."""
