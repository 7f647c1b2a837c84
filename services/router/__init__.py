"""Router: where requests from outside go.

Owns: names (host names of services), publications (the endpoints of each service, with generation and version),
endpoints (one row each, those still finishing requests included), edge_revision (one row: how often the world changed)
and forgotten (services that are deleted and stay so).
Offers: RouterService (ClaimName, ListNames, PublishEndpoints, GetPublication, GetActivity, SampleTraffic), and to Envoy
the AggregatedDiscoveryService at a door of its own.
Publishes: name.claimed, endpoints.published.
Listens to: project (service.deleted).
"""
