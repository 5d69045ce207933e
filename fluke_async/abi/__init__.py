"""
The binary interface between user programs and the kernel, as data: the only copy.

`registers` names the CPU's registers and their roles, `codes` the numbers that cross the border, `layouts` the
structures in user memory, `entry_points` the table of system calls, `devices` the requests that devices understand.
The C header, its stubs and the reference pages are generated from these by `c_header` and `pages`.
"""
