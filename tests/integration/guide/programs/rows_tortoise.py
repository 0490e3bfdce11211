"""Rows of Tortoise as arguments: workers initialise it with what `init` is given."""

import os

from tortoise import Tortoise, fields
from tortoise.models import Model

import asynctasq
from asynctasq.tasks import task
from asynctasq.utils.loop import run as uv_run

DATABASE = {"db_url": os.environ["GUIDE_DATABASE"], "modules": {"models": ["rows_tortoise"]}}

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]}, tortoise_config=DATABASE)


class Author(Model):
    id = fields.IntField(pk=True)
    email = fields.CharField(max_length=255)
    name = fields.CharField(max_length=100)


class Article(Model):
    id = fields.IntField(pk=True)
    title = fields.CharField(max_length=200)
    author = fields.ForeignKeyField("models.Author", related_name="articles")


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="news")
async def announce(article: Article, author: Author) -> None:
    say(f"new {article.title!r} by {author.name}")


@task(queue="news")
async def count(author: Author) -> None:
    say(f"{author.name} has written {await author.articles.all().count()}")


@task(queue="news", process=True)
async def sign(article: Article) -> None:
    say(f"signed {(await article.author).name}")


async def main() -> None:
    from rows_tortoise import Article, Author, announce, count, sign

    await Tortoise.init(**DATABASE)
    await Tortoise.generate_schemas()
    await Article.create(id=10, title="Engines", author=await Author.create(id=1, email="a@example.org", name="Ada"))
    author = await Author.get(id=1)
    article = await Article.get(id=10)
    print(await announce(article=article, author=author).dispatch())
    print(await count(author).dispatch())
    print(await sign(article).dispatch())
    await Author.filter(id=1).update(name="Countess Ada")
    await Tortoise.close_connections()


if __name__ == "__main__":
    uv_run(main())
