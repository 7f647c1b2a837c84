"""What every test may ask for."""

pytest_plugins = ["libs.testing.plugin"]
