"""New users."""

from shop.mail import send_welcome


async def sign_up(email: str) -> None:
    await send_welcome(to=email).dispatch()


class Client:
    """Of a web application without asyncio."""

    def post(self, path: str, form: dict[str, str]) -> None:
        assert path == "/users"
        send_welcome(to=form["email"]).dispatch_sync()
