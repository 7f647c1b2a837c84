"""Which address shows what."""

from django.urls import path

from pages import views

urlpatterns = [path("", views.home), path("add/<int:left>/<int:right>", views.add)]
