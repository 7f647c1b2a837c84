"""Variables that the platform gives: nobody sets them, every reference may use them."""

from __future__ import annotations

from typing import Final

PUBLIC_DOMAIN: Final = "LIGHTRAIL_PUBLIC_DOMAIN"
DEPLOYMENT_ID: Final = "LIGHTRAIL_DEPLOYMENT_ID"

# None: known by name, its value is not known yet.
Provided = dict[str, str | None]


def of_environment(*, project_id: str, project_name: str, environment_id: str, environment_name: str) -> Provided:
    """Returns what every scope of an environment is given."""
    return {
        "LIGHTRAIL_PROJECT_ID": project_id,
        "LIGHTRAIL_PROJECT_NAME": project_name,
        "LIGHTRAIL_ENVIRONMENT_ID": environment_id,
        "LIGHTRAIL_ENVIRONMENT_NAME": environment_name,
    }


def of_service(*, service_id: str, service_name: str, public_domain: str, is_worker: bool) -> Provided:
    """Returns what a service is given besides; a worker has no public domain, an empty one is not claimed yet."""
    given: Provided = {
        "LIGHTRAIL_SERVICE_ID": service_id,
        "LIGHTRAIL_SERVICE_NAME": service_name,
    }
    if not is_worker:
        given[PUBLIC_DOMAIN] = public_domain or None
    return given
