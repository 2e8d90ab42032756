"""Networks of addresses: those of proxies, and what counts as one client."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv6Network

PRIVATE = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)
"""Networks that no one on the internet can send from."""

_WORKERS = IPv6Network("2a06:98c0:3600::/48")
"""Where requests of programs that run at Cloudflare seem to come from (2a06:98c0:3600::103): of
those anybody may write one, and with it any X-Forwarded-For."""

CLOUDFLARE = (
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    *map(str, IPv6Network("2a06:98c0::/29").address_exclude(_WORKERS)),
    "2c0f:f248::/32",
)
"""What Cloudflare publishes as the networks of its proxies, but for its customers' programs."""

NAMED = {"private": PRIVATE, "cloudflare": CLOUDFLARE}
"""Networks that a setting may name together."""


def is_network(text: str) -> bool:
    """Whether `text` is an address or a network of addresses."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the 2^64 addresses that one IPv6 line has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
