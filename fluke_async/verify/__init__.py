"""
Verification: the laws by enumeration.

A program runs once undisturbed. At every point of a second run the process forks; in the copy everything is stopped,
read out, destroyed and created again, and it runs on. Whatever then differs from the undisturbed run is a divergence.
"""
