"""The SDK for asyncio: `running` carries the calls; the other files are made by tools/async-client."""
