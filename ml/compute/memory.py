"""The C allocator of processes that compute on a CPU, and Python's collector of garbage."""

import ctypes

# New objects, and times that, after which Python looks for garbage in circles: large imports make a million objects and
# leave none, and looking again and again takes a quarter of their time.
SELDOM = (50_000, 20, 50)

# The names of glibc's mallopt(3): how much to ask for at once, when to give back, how much to map page by page.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4


def keep_memory() -> None:
    """Let this process keep the memory that tensors free, where its C library is glibc.

    By itself glibc hands a large tensor's pages back to the system and has the next one's zeroed anew: a tenth of a
    training step, and of the time that SAM takes for an image.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**27)):
            mallopt(option, value)
