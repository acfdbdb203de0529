"""Checks of everything that is shipped besides the program: chart, images, compose, monitoring.

`helm/check.py` is the command; each module here is one subject.
"""
