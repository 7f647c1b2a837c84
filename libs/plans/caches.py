"""Where tools keep their downloads while a plan is built."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

CACHES: Final = "/cache"
TOOLS_KEEP_TO: Final = {
    "UV_CACHE_DIR": f"{CACHES}/uv",
    # Cache and result are different mounts: a hard link cannot cross them.
    "UV_LINK_MODE": "copy",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "UV_COMPILE_BYTECODE": "1",
    # Times do not survive packing: bytecode that trusts them would be made again at every start.
    "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",
    "npm_config_cache": f"{CACHES}/npm",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
    "npm_config_logs_max": "0",
    "YARN_CACHE_FOLDER": f"{CACHES}/yarn",
    "YARN_ENABLE_GLOBAL_CACHE": "false",
    "BUN_INSTALL_CACHE_DIR": f"{CACHES}/bun",
}
# For plans that use pnpm: npm warns of settings that it does not know.
PNPM_KEEPS_TO: Final = {
    "npm_config_store_dir": f"{CACHES}/pnpm",
    "npm_config_package_import_method": "copy",
}


def kept_by(caches: Collection[str]) -> dict[str, str]:
    """Variables for the commands of a plan whose steps use these caches."""
    return {**TOOLS_KEEP_TO, **(PNPM_KEEPS_TO if "pnpm" in caches else {})}
