from __future__ import annotations

from libs.embedded import exposure


def test_addresses_of_the_kernel_are_read_in_the_machines_order() -> None:
    assert str(exposure.parse_address("0100007F")) == "127.0.0.1"
    assert str(exposure.parse_address("00000000")) == "0.0.0.0"  # noqa: S104 - an example, nobody listens
    assert str(exposure.parse_address("00000000000000000000000001000000")) == "::1"
