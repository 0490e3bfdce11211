SECRET_KEY = "of an example"
INSTALLED_APPS = ["members"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "members.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
