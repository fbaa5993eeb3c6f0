"""Every number the pages show: pure functions from lazy frames to lazy frames."""
