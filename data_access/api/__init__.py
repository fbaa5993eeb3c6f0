"""The numbers of the pages as JSON over HTTP, for scripts: nothing here writes or shows.

`Api` is an ASGI application; pages/server/api.py puts it in front of the pages.
"""

from data_access.api.server import Api, Holder, Presented, refusal

__all__ = ["Api", "Holder", "Presented", "refusal"]
