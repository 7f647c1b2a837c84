"""Build: source becomes a runnable artifact.

Owns: snapshots, builds, build_logs, artifacts, dependency_layers (schema build), and LIGHTRAIL_HOME/build.
Offers: BuildService (UploadSnapshot, GetSnapshot, GetBuild, StreamBuildLog, CancelBuild, GetArtifact).
Publishes: snapshot.stored, build.started, build.succeeded, build.failed, build.cancelled.
Listens to: deploy (deployment.requested; and the states in which a build is no longer wanted).
"""
