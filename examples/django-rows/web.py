"""The smallest views, and a server for them: PUT /users/EMAIL with a name, POST /users/EMAIL/welcome."""

from __future__ import annotations

import sys
from wsgiref.simple_server import make_server

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path


def user(request: HttpRequest, email: str) -> HttpResponse:
    from shop.models import User

    User.objects.update_or_create({"name": request.body.decode()}, email=email)
    return HttpResponse("saved")


def welcome(_request: HttpRequest, email: str) -> HttpResponse:
    from shop.models import User
    from shop.tasks import send_welcome

    return HttpResponse(send_welcome(User.objects.get(email=email)).dispatch_sync())


urlpatterns = [path("users/<str:email>", user), path("users/<str:email>/welcome", welcome)]


if __name__ == "__main__":
    application = get_wsgi_application()
    from django.db import connection
    from shop.models import User

    with connection.schema_editor() as editor:
        editor.create_model(User)
    with make_server("127.0.0.1", int(sys.argv[1]), application) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
