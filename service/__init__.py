"""coreface: a face-template verification service.

An image set of one subject becomes one template; two templates are compared 1:1.
"""


def __getattr__(name: str) -> str:
    """`__version__`: of the installed package, whose version is the repository's tag. Looked up when asked for."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("coreface")
    except PackageNotFoundError:
        return "0.0.0+not.installed"
