from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from libs.outbound.addresses import NOTHING, parse_allowance, permitted
from libs.outbound.resolve import resolve

INSIDE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::",
    "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a00:1::", "::127.0.0.1", "2001:db8::1", "64:ff9b:1::a00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_nobody_sends_the_platform_to_itself_or_its_network(address: str) -> None:
    assert not permitted(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "140.82.112.3", "2606:4700::1111", "172.32.0.1", "100.128.0.1"])
def test_what_is_public_may_be_reached(address: str) -> None:
    assert permitted(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_judged_by_what_it_leads_to(address: object) -> None:
    plain = ip_address(str(address))
    if not permitted(plain):
        number = int(plain)
        for disguise in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80)):
            assert not permitted(ip_address(disguise.to_bytes(16, "big")))


def test_an_operator_allows_hosts_and_networks_and_nothing_beside_them() -> None:
    allowed = parse_allowance("git.corp, .lab.example 10.1.0.0/16, fd12::/16")
    assert permitted(ip_address("10.1.2.3"), "", allowed)
    assert permitted(ip_address("::ffff:10.1.2.3"), "", allowed)
    assert permitted(ip_address("192.168.0.1"), "GIT.corp.", allowed)
    assert permitted(ip_address("192.168.0.1"), "a.lab.example", allowed)
    assert permitted(ip_address("fd12::1"), "", allowed)
    for address, host in (("10.2.0.1", ""), ("192.168.0.1", "evil-lab.example"), ("192.168.0.1", "x.git.corp")):
        assert not permitted(ip_address(address), host, allowed)
    for wrong in ("10.0.0.0/99", "a b/c", "x/y", "."):
        with pytest.raises(Invalid):
            parse_allowance(wrong)


async def test_a_name_is_resolved_to_what_may_be_reached_or_refused() -> None:
    assert await resolve("127.0.0.1", 80, parse_allowance("127.0.0.0/8")) == ["127.0.0.1"]
    assert await resolve("localhost", 80, parse_allowance("localhost")) != []
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"):
        with pytest.raises(Invalid, match="private network"):
            await resolve(host, 80, NOTHING)
    with pytest.raises(Invalid, match="not found"):
        await resolve("no-such-host.invalid", 80, NOTHING)
