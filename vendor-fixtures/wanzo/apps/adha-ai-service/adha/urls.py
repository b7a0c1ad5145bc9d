from django.http import JsonResponse
from django.urls import path


def health(request):
    return JsonResponse({"status": "ok", "service": "adha-ai-service"})


urlpatterns = [path("health", health)]
