"""The headers that every answer carries, so that a browser does no more than the page needs."""

from __future__ import annotations

from litestar.types import Message, Scope

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    )
)

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # What is said about a picture stays with who asked; static files bring their own.
    "cache-control": "no-store",
}

_ENCODED = {name.encode(): value.encode() for name, value in HEADERS.items()}


async def add_headers(message: Message, scope: Scope) -> None:
    """Adds to the start of an answer those of `HEADERS` that it does not bring itself."""
    if message["type"] == "http.response.start":
        present = {name.lower() for name, _ in message["headers"]}
        message["headers"] = [
            *message["headers"],
            *(header for header in _ENCODED.items() if header[0] not in present),
        ]
