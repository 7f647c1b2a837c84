"""Deploy: makes artifacts run, keeps them running, and never drops a request while it changes them.

Owns: deployments, releases, instances, routes, log_lines.
Offers: lightrail.deploy.v1.DeploymentService.
Publishes: lightrail.deploy.deployment.{queued,requested,initializing,building,deploying,went_live,failed,crashed,
skipped,removing,removed}.v1.
Listens to: build (started, source.fetched, succeeded, failed, cancelled, skipped), project (variables.changed,
service.deleted).
"""
