from django.db import models


class Member(models.Model):
    email = models.EmailField()
    name = models.CharField(max_length=100)


class Article(models.Model):
    name = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=10, decimal_places=2)
