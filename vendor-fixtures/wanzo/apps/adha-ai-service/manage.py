#!/usr/bin/env python
# SITUATION: a directory in apps/ without a package.json: yarn takes it for no member of the workspace.
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adha.settings")
    execute_from_command_line(sys.argv)
