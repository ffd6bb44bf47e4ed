"""AskNews' error bodies: `{code, detail}`, where `code` is the HTTP status times 1000 plus a number."""

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

# AskNews answers these without a code.
STATUSES_WITHOUT_CODE = frozenset({402, 407, 425, 502, 504})

DETAILS = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Your plan does not include access to this API",
    404: "Resource Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    425: "Too Early",
    429: "Rate Limit Exceeded",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
CONCURRENCY_LIMIT_EXCEEDED = 429001


class ApiError(Exception):
    """An answer that is an error. `code` and `detail` follow from `status` where they are not given."""

    def __init__(self, status: int, *, code: int | None = None, detail: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.code = code
        self.detail = detail


def error_response(
    status: int, *, code: int | None = None, detail: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Answer with the documented body for `status`."""
    if detail is None:
        is_concurrency = code == CONCURRENCY_LIMIT_EXCEEDED
        detail = "Concurrency Limit Exceeded" if is_concurrency else DETAILS.get(status, "Error")
    body: dict[str, object] = {"detail": detail}
    if code is not None or status not in STATUSES_WITHOUT_CODE:
        body = {"code": code or status * 1000, **body}
    return JSONResponse(body, status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every error as AskNews does."""

    @app.exception_handler(ApiError)
    def api_error(_request: Request, error: ApiError) -> JSONResponse:
        return error_response(error.status, code=error.code, detail=error.detail)

    @app.exception_handler(HTTPException)
    def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        return error_response(error.status_code)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        detail = [{"loc": one["loc"], "msg": one["msg"], "type": one["type"]} for one in error.errors()]
        return JSONResponse({"code": 422000, "detail": jsonable_encoder(detail)}, 422)
