"""The pages."""

import django
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/home.html", {"version": django.get_version()})


def add(_: HttpRequest, left: int, right: int) -> JsonResponse:
    return JsonResponse({"sum": left + right})
