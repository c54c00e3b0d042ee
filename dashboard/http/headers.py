"""Headers of every answer, also of those that are no request's."""

from __future__ import annotations

from typing import Final

# No inline script or style anywhere, so what a service writes into its name or log cannot become code.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it a form's POST would carry `Origin: null`, and the origin is what we check.
    "Referrer-Policy": "same-origin",
    # No Cross-Origin-Opener-Policy: another site's page that opens ours gets the login page (the session's cookie is strict),
    # and a browser would start another process for the first page: 50 ms more than its 180.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
