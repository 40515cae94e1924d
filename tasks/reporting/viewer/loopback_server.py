"""The viewer as an application: pages of one store, read only, and the files that they refer to."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from overthink.storage.storage_errors import QueryError, StorageError
from overthink.storage.store import Store
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.addresses import address
from overthink.tasks.reporting.viewer.loopback_guard import LoopbackGuard
from overthink.tasks.reporting.viewer.page_templates import static_folder
from overthink.tasks.reporting.viewer.viewer_pages import Pages


def viewer_app(store: Store, token: str) -> Starlette:
    """The application, whose pages are below `/TOKEN/`."""
    pages = Pages(store, address)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        pages.close()

    async def page(request: Request) -> Response:
        name = request.path_params.get("page", "")
        return await run_in_threadpool(answer, pages, name, dict(request.query_params))

    routes = [
        Mount("/{token}/static", StaticFiles(directory=static_folder())),
        Route("/{token}/", page),
        Route("/{token}/{page}", page),
    ]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackGuard, token=token)], lifespan=lifespan)


def answer(pages: Pages, page: str, parameters: Mapping[str, str]) -> Response:
    """A page, or one that says in a line why there is none."""
    if page not in pages:
        return HTMLResponse(pages.failure("There is no such page."), 404)
    try:
        return HTMLResponse(pages.render(page, parameters))
    except UserError as error:
        return HTMLResponse(pages.failure(str(error)), 404)
    except (QueryError, StorageError) as error:
        return HTMLResponse(pages.failure(str(error)), 503)
