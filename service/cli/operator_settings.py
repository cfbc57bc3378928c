"""Settings as a command sees them: environment first, options over it, mistakes told by the name of the variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import SetupError

if TYPE_CHECKING:
    from service.settings import Settings


def read_settings(**options: object) -> Settings:
    """Settings with every option that is not None laid over them. Raises `SetupError`."""
    # Only here: most of a command's start would be spent on it.
    from pydantic import ValidationError

    from service.settings import Settings

    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"COREFACE_{'__'.join(str(part).upper() for part in entry['loc'])}: "
            + entry["msg"].removeprefix("Value error, ")
            for entry in error.errors(include_input=False, include_url=False)
        )
        raise SetupError(f"The settings are not valid. {problems}") from error
