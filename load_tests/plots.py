"""stub"""


def draw(out, folder): ...
