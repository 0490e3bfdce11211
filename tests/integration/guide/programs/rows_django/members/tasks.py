import os

import asynctasq
from asynctasq.tasks import task
from members.models import Article, Member

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="letters")
async def welcome(member: Member) -> None:
    say(f"welcome {member.name} <{member.email}>")


@task(queue="prices")
async def reprice(article: Article, price: float) -> None:
    say(f"{article.name} from {article.price} to {price}")


@task(queue="prices", process=True)
def label(article: Article) -> None:
    say(f"label {article.name}")
