"""
The kernel under random hostile calls: a world of objects, an engine that makes up its programs, and who looks on.

`fluke_async.verify.grind` is the command.
"""
