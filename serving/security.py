"""The headers that every answer carries, so that a browser does no more than the page needs."""

from __future__ import annotations

from litestar.types import BeforeMessageSendHookHandler, Message, Scope

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

COMPILING_POLICY = f"{CONTENT_SECURITY_POLICY}; script-src 'self' 'wasm-unsafe-eval'"
"""for the one worker that may compile WebAssembly: a worker has its own file's policy, so that no
page needs to allow it"""

# Those that OWASP's Secure Headers Project lists, but for Clear-Site-Data: there is no session.
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-permitted-cross-domain-policies": "none",
    "x-dns-prefetch-control": "off",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    # What is said about a picture stays with who asked; static files bring their own.
    "cache-control": "no-store",
}


def headers_over(scheme: str, hsts_seconds: int) -> dict[str, str]:
    """`HEADERS` for an answer that goes over `scheme`.

    Over HTTPS they also say that the browser shall come by nothing else for `hsts_seconds`.
    """
    if scheme != "https" or not hsts_seconds:
        return HEADERS
    return {**HEADERS, "strict-transport-security": f"max-age={hsts_seconds}"}


def adding_headers(hsts_seconds: int) -> BeforeMessageSendHookHandler:
    """What is done as an answer begins: it gets those headers that it does not bring itself."""
    encoded = {
        scheme: [(n.encode(), v.encode()) for n, v in headers_over(scheme, hsts_seconds).items()]
        for scheme in ("http", "https")
    }

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            carried = encoded.get(scope["scheme"], encoded["http"])
            message["headers"] = [
                *message["headers"],
                *(header for header in carried if header[0] not in present),
            ]

    return add
