"""Supernets: networks whose parts are shared by all architectures of a space.

``settings`` has them by name, ``spaces`` the architectures (both without torch), ``supernet`` what
every one of them can do; the networks themselves are ``convolutional``, ``recurrent`` and ``micro``.
"""
