"""One file for each type of kernel object: what it holds, its state, and the calls that only it has."""
