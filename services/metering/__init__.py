"""What everybody used, minute by minute, and what it costs.

owns: usage_samples, metered_runs, metered_edges, metered_places, prices
offers: lightrail.metering.v1.MeteringService
publishes: lightrail.metering.minute.recorded.v1
listens to: nothing; it looks at deploy's and router's counters
"""
