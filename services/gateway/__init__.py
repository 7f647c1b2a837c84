"""The gateway: the platform's one public door. REST and server-sent events in, gRPC to the services.

Owns: no tables. Offers: no RPCs; HTTP below /api/v1 and a status page at /.
Publishes: nothing. Listens to: `lightrail.>` (live, for event streams; never as truth).
"""
