"""Rows of Django as arguments: nothing is configured but DJANGO_SETTINGS_MODULE."""

# ruff: noqa: E402 -- models cannot be imported before Django is set up

import django

django.setup()

from django.db import connection
from members.models import Article, Member
from members.tasks import label, reprice, welcome

from asynctasq.utils.loop import run as uv_run


async def main() -> None:
    await Member.objects.acreate(id=1, email="ada@example.org", name="Ada")
    await Article.objects.acreate(id=5, name="Engine", price="80.00")
    member = await Member.objects.aget(id=1)
    print(await welcome(member=member).dispatch())
    article = await Article.objects.aget(id=5)
    print(await reprice(article=article, price=99.99).dispatch())
    print(await label(article).dispatch())
    await Member.objects.filter(id=1).aupdate(name="Countess Ada")


if __name__ == "__main__":
    with connection.schema_editor() as editor:
        for model in (Member, Article):
            editor.create_model(model)
    uv_run(main())
