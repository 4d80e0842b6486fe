"""CPU threads of numba, torch, BLAS and scikit-learn, limited for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited_threads(count: int, *, torch: bool = True) -> Iterator[None]:
    """Limit CPU threads within a ``with`` block; what was set before is restored behind it.

    It limits numba's parallel loops, torch's operations, and the BLAS and OpenMP pools of numpy, scipy and
    scikit-learn, as far as these are loaded. Thread pools of Python's own and scikit-learn's ``n_jobs`` get their
    number from their callers.

    Parameters
    ----------
    count : int
        Threads; 0 changes nothing.
    torch : bool
        False where no torch is used: it is not imported then.
    """
    if not count:
        yield
        return
    import numba
    from threadpoolctl import threadpool_limits

    if torch:
        import torch as library

        before = library.get_num_threads()
    numba_before = numba.get_num_threads()
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set when numba is loaded
    try:
        with threadpool_limits(count):
            numba.set_num_threads(min(count, most))
            if torch:
                library.set_num_threads(count)
            yield
    finally:
        numba.set_num_threads(numba_before)
        if torch:  # last: it sets the OpenMP pool that it shares with others, too
            library.set_num_threads(before)
