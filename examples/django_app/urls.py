"""The routes."""

from django.urls import path

from examples.django_app import views

urlpatterns = [
    path("sso", views.sso),
    path("search", views.search),
    path("audit-log", views.AuditLog.as_view()),
]
