"""The HTTP edge: one engine in one process. It translates; the engine decides.

    bodies       what comes in and goes out, as structs that decode and describe themselves
    problems     refusals, as RFC 9457 tells them
    events       CloudEvents 1.0 to outcomes
    routes       every path, what it takes and gives
    describing   the routes as OpenAPI 3.1
    application  from a request to an answer, without sockets
    asgi         the application as uvicorn calls it
    serving      token, address, server, signals

Needs the extra `serve` (only `serving` imports it).
"""
