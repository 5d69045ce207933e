"""
Benchmarks: what operations cost, measured on this machine.

Run with `python -m fluke_async.bench`. Times are medians of several runs with their spread; a figure of one operation
is the slope between a short and a long run, so that starting and ending a program do not count.
"""
