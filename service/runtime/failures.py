"""What the libraries that run networks say when they fail."""

from __future__ import annotations

from service.errors import InferenceFailedError, OutOfMemoryError

_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "bad allocation")


def is_out_of_memory(error: Exception) -> bool:
    """None has a class of its own for it: they tell by the words of their allocators, on the CPU and on CUDA."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(words in told for words in _OUT_OF_MEMORY)


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def failure_of(error: Exception, name: str, provider: str) -> InferenceFailedError | OutOfMemoryError:
    """What a forward pass of the file `name` raises for an error of the library."""
    failure = OutOfMemoryError if is_out_of_memory(error) else InferenceFailedError
    return failure(f"{name} failed on {provider}: {first_line(error)}")
