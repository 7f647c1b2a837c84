"""Every claim about auth's use cases, on PostgreSQL: the store in memory promises nothing that the real one breaks."""

from __future__ import annotations

import pytest

from tests.unit.auth.test_accounts import *  # noqa: F403 - the claims themselves
from tests.unit.auth.test_authorize import *  # noqa: F403 - the same
from tests.unit.auth.test_sessions import *  # noqa: F403 - the same
from tests.unit.auth.test_tokens import *  # noqa: F403 - the same
from tests.unit.auth.test_workspaces import *  # noqa: F403 - the same

pytestmark = pytest.mark.wheels
