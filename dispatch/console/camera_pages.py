"""Cameras: their list, the page of one, those that see a case, and the pictures behind signed addresses.

A picture is shown only to the user that its address was made for, and only after it was written down that
they look. A camera that gives none is an error that says so; nothing is kept.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dispatch.console import charts
from dispatch.console.bodies import query_int, query_text
from dispatch.console.cases import seen_case
from dispatch.console.desk import Desk, desk_of
from dispatch.console.framed import framed
from dispatch.console.identity import signed_in
from dispatch.console.problems import Problem
from dispatch.console.render import renderer_of
from dispatch.video import NoPicture, Video, picture_of

PAGE = 50
LATEST_S = 2**40


async def list_cameras(request: Request) -> Response:
    user = await signed_in(request)
    asked = {"q": query_text(request, "q"), "zone": query_text(request, "zone")}
    rows = await video_of(desk_of(request)).cameras(
        **asked, districts=user.districts, after=query_text(request, "after") or "", limit=PAGE + 1
    )
    following = None
    if len(rows) > PAGE:
        kept = {name: value for name, value in asked.items() if value}
        following = f"/cameras?{urlencode({**kept, 'after': rows[PAGE - 1]['camera']})}"
    return await framed(
        request,
        user,
        "cameras.html",
        page="cameras",
        rows=rows[:PAGE],
        asked=asked,
        following=following,
        first="after" not in request.query_params,
    )


async def show_camera(request: Request) -> Response:
    user = await signed_in(request)
    video = video_of(desk_of(request))
    camera = await _camera(video, request)
    if user.districts and camera["district"] not in user.districts:
        raise Problem(403, f"camera {camera['camera']} is not in a district of {user.name}")
    return await framed(
        request,
        user,
        "camera.html",
        page="cameras",
        camera=camera,
        address=await video.signed(camera["camera"], user.name, ""),
        stream=await video.signed(camera["camera"], user.name, "", "stream") if camera["stream"] else None,
        looks=await video.looks(camera["camera"]),
    )


async def list_case_cameras(request: Request) -> Response:
    """Part of a case's detail: the cameras that see the place of its alert."""
    user = await signed_in(request)
    desk = desk_of(request)
    case = await seen_case(desk, user, request.path_params["case_id"])
    alert = charts.shown_alert(case["alerts"])
    place = await _place(desk, alert) if alert and desk.video else None
    if desk.video is None or place is None:
        return Response(status_code=204)
    seeing = [
        {**one, "address": await desk.video.signed(one["camera"], user.name, case["case_id"])}
        for one in await desk.video.near(*place)
    ]
    return renderer_of(request).page(request, "case_cameras.html", cameras=seeing)


async def show_picture(request: Request) -> Response:
    video = video_of(desk_of(request))
    user, case_id = await _proven(request, "snapshot")
    camera = await _camera(video, request)
    try:
        if not camera["snapshot"]:
            raise NoPicture("no address")
        picture = await picture_of(camera["snapshot"])
    except NoPicture as error:
        await video.looked(camera["camera"], user, case_id, "snapshot", f"no picture: {error}")
        raise Problem(502, f"camera {camera['camera']} gave no picture: {error}") from None
    await video.looked(camera["camera"], user, case_id, "snapshot", "shown")
    return Response(
        picture.content, media_type=picture.media, headers={"Cache-Control": "private, max-age=2"}
    )


async def show_stream(request: Request) -> Response:
    """The stream's address, for a player: it is not shown on any page."""
    video = video_of(desk_of(request))
    user, case_id = await _proven(request, "stream")
    camera = await _camera(video, request)
    if not camera["stream"]:
        raise Problem(404, f"camera {camera['camera']} has no stream")
    await video.looked(camera["camera"], user, case_id, "stream", "told")
    return PlainTextResponse(camera["stream"] + "\n")


def video_of(desk: Desk) -> Video:
    if desk.video is None:
        raise Problem(503, "this console has no cameras to show")
    return desk.video


async def _camera(video: Video, request: Request) -> dict[str, Any]:
    camera = await video.camera(request.path_params["camera"])
    if camera is None:
        raise Problem(404, f"no camera {request.path_params['camera']}")
    return dict(camera)


async def _proven(request: Request, what: str) -> tuple[str, str]:
    """User and case of a signed address. Raises Problem 403 for one that is not, or no more."""
    user = await signed_in(request)
    video = video_of(desk_of(request))
    case_id = query_text(request, "case") or ""
    until = query_int(request, "until", low=0, high=LATEST_S) or 0
    proof = query_text(request, "proof") or ""
    camera = request.path_params["camera"]
    if not await video.is_signed(camera, user.name, case_id, what, until, proof):
        raise Problem(403, "this address is not signed for you, or no longer: open the camera's page again")
    return user.name, case_id


async def _place(desk: Desk, alert: Any) -> tuple[float, float] | None:
    """Where the sensor of an alert stands."""
    kind, _, rest = str(alert["subject"]).partition("/")
    gateway, _, point = rest.partition("/")
    sensor = await desk.history.sensor_by_point(gateway, point) if kind == "sensor" else None
    if sensor is None or sensor["lon"] is None or sensor["lat"] is None:
        return None
    return sensor["lon"], sensor["lat"]


ROUTES = [
    Route("/cameras", list_cameras),
    Route("/cameras/{camera}", show_camera),
    Route("/cameras/{camera}/snapshot", show_picture),
    Route("/cameras/{camera}/stream", show_stream),
    Route("/cases/{case_id}/cameras", list_case_cameras),
]
