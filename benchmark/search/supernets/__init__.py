"""Supernets: networks whose parts are shared by all architectures of a space.

``settings`` has them by name, ``spaces`` the architectures (both without torch), ``making`` builds
them; the networks are ``convolutional``, ``recurrent`` and ``micro``, and ``supernet`` is what all
of them can do.
"""
