"""The project service: what a workspace owns, how each service is set up, and the variables it gets.

Owns (tables): projects, environments, services, service_settings, variable_versions, variable_values,
service_sources, deploy_keys, host_keys.
Offers (rpcs): lightrail.project.v1.ProjectService, lightrail.project.v1.SourceService.
Publishes: lightrail.project.project.{created,deleted}.v1, lightrail.project.environment.created.v1,
lightrail.project.service.{created,updated,deleted}.v1, lightrail.project.variables.changed.v1.
Listens to: nothing. It asks the router for a service's host name, and goes on without while the router is away.
"""
