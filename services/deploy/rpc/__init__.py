"""DeploymentService over gRPC."""
