"""`lightrail`, alias `lr`: what a person types."""
