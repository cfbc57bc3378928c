"""What the shell offers after Tab."""

from __future__ import annotations


def complete_pack(incomplete: str) -> list[str]:
    """Names of packs that are known."""
    # Only here: a command that is run completes nothing.
    from service.packs.definitions import definitions_path

    names = (path.name for path in definitions_path().iterdir() if path.is_dir())
    return sorted(name for name in names if name.startswith(incomplete))
