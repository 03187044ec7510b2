"""BuildKit's own protocol, for clients that speak nothing else: buildx, and Compose by default.

    POST /grpc     h2c: the engine serves moby.buildkit.v1.Control and …frontend.LLBBridge       (control)
    POST /session  h2c: the client serves its files, secrets, agents; the engine is the caller   (session, files)

Only what clients need to build Dockerfiles is there: `dockerfile.v0` as a frontend. Graphs (LLB) are refused.
"""
