"""How long ``POST /v1/guidance`` takes for a clip of 15 s, over HTTP, with the bundle that ships.

    python -m benchmarks.guidance_latency [--quick]

A process that serves answers on a port; a client on the same machine sends the features of synthetic clips inline and
by URI, one at a time, on two cores. Writes ``out/guidance_latency.json``.
"""
