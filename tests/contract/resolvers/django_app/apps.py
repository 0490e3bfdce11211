from django.apps import AppConfig


class WorldConfig(AppConfig):
    name = "tests.contract.resolvers.django_app"
    label = "world"
    default_auto_field = "django.db.models.BigAutoField"
