"""The world in Envoy's protobufs: a pure translation, proven by golden files and by a real Envoy."""

from services.router.adapters.xds.clusters import app_key, cluster_name
from services.router.adapters.xds.routes import route_table
from services.router.adapters.xds.translator import ANY_HOST, Shape, Translator

__all__ = ["ANY_HOST", "Shape", "Translator", "app_key", "cluster_name", "route_table"]
