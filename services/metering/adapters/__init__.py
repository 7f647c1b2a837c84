"""The services that metering asks: deploy, router and project."""
