"""Build: source becomes a runnable artifact.

Owns: snapshots, builds, build_logs, artifacts, dependency_layers, retired_services, pushes, scans, collections
  (schema build), and LIGHTRAIL_HOME/build. It alone writes and removes blobs.
Offers: BuildService (UploadSnapshot, GetSnapshot, GetBuild, ListBuilds, StreamBuildLog, CancelBuild, GetArtifact,
  GetScan, DownloadSbom, GetProvenance, GetProvenanceKey).
  BuildUpkeepService (ListCaches, ClearCaches, Collect, GetCollection).
  GitService (AdvertiseRefs, ReceivePack, UploadPack).
Publishes: snapshot.stored, build.started, build.succeeded, build.failed, build.cancelled, build.skipped,
  source.fetched.
Listens to: deploy (deployment.requested; deployment.queued; and the states in which a build is no longer wanted),
  project (service.deleted).
"""
