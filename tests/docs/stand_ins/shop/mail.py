"""Mail, and a server for it that can be told to refuse."""

from asynctasq import task


class MailServer:
    def __init__(self) -> None:
        self.outbox: list[str] = []
        self.refusals = 0

    def refuse(self, times: int) -> None:
        self.refusals = times

    def send(self, text: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError("the mail server does not answer")
        self.outbox.append(text)


server = MailServer()


@task(retry_delay=60)
async def send_welcome(to: str) -> None:
    server.send(f"welcome, {to}")
