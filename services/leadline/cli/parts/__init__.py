"""One module a service: its settings (`Settings`) and how it is put together (`start`).

Each is imported only when it is started: a gateway's installation has no database driver.
"""
