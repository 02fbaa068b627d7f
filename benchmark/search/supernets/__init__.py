"""Supernets: networks whose parts are shared by all architectures of a space.

``settings.py`` has them by name, ``spaces.py`` their architectures (both without torch), and
``making.py`` builds them. The networks are in ``convolutional.py``, ``recurrent.py`` and
``micro.py``, their base class is in ``supernet.py``.
"""
