"""Closes the system calls that no application needs and that kernels have most often been broken through."""

from __future__ import annotations

import errno
import platform
import struct
from pathlib import Path
from typing import Final

# There when the kernel knows filters.
_ACTIONS: Final = Path("/proc/sys/kernel/seccomp/actions_avail")
# Numbers of classic BPF, from linux/filter.h and linux/seccomp.h.
_LOAD: Final = 0x20  # a word at an absolute offset
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
# Offsets in struct seccomp_data.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
# CLONE_NEWUSER and every other CLONE_NEW*.
_NAMESPACES: Final = 0x7E020080
_X32: Final = 0x40000000

# Architecture: its number in linux/audit.h, clone, and the closed calls. clone3 is 435 everywhere.
_CLONE3: Final = 435
# move_mount, open_tree, fsopen…fspick, mount_setattr, io_uring_setup…register: numbered alike everywhere.
_SHARED: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442)
_MACHINES: Final[dict[str, tuple[int, int, dict[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        56,
        {
            "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "bpf": 321,
            "perf_event_open": 298, "keyctl": 250, "add_key": 248, "request_key": 249, "kexec_load": 246,
            "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "swapon": 167,
            "swapoff": 168, "reboot": 169, "acct": 163, "settimeofday": 164, "clock_settime": 227, "quotactl": 179,
            "userfaultfd": 323, "syslog": 103, "open_by_handle_at": 304, "lookup_dcookie": 212, "vhangup": 153,
            "iopl": 172, "ioperm": 173, "uselib": 134,
        },
    ),
    "aarch64": (
        0xC00000B7,
        220,
        {
            "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "bpf": 280,
            "perf_event_open": 241, "keyctl": 219, "add_key": 217, "request_key": 218, "kexec_load": 104,
            "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "swapon": 224,
            "swapoff": 225, "reboot": 142, "acct": 89, "settimeofday": 170, "clock_settime": 112, "quotactl": 60,
            "userfaultfd": 282, "syslog": 116, "open_by_handle_at": 265, "lookup_dcookie": 18, "vhangup": 58,
        },
    ),
}  # fmt: skip


def program(machine: str | None = None) -> bytes | None:
    """The filter as bubblewrap takes it; None where the numbers or filters are not known.

    Closed calls answer EPERM; clone3 answers ENOSYS, so that libraries fall back to clone, whose flags can be seen.
    """
    known = _MACHINES.get(platform.machine() if machine is None else machine)
    if known is None or not _ACTIONS.exists():
        return None
    architecture, clone, closed = known
    numbers = sorted((*closed.values(), *_SHARED))
    # Behind the comparisons come, in this order: allow, look at clone's flags (2 steps), allow, EPERM, ENOSYS.
    count = len(numbers)
    first_end = 2 + 2 + 2 + count  # position of the first "allow"
    flags, refuse, missing = first_end + 1, first_end + 4, first_end + 5
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, refuse - 2, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, refuse - 4, 0, _X32),
        (_EQUAL, flags - 5, 0, clone),
        (_EQUAL, missing - 6, 0, _CLONE3),
    ]
    for number in numbers:
        steps.append((_EQUAL, refuse - len(steps) - 1, 0, number))
    steps += [
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 1, 0, _NAMESPACES),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
