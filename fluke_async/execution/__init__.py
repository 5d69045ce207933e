"""
Execution: what runs on a hart, and what becomes of an operation that has to wait.

The two execution models are two small drivers, `interrupt` and `process`; nothing else knows which one it has.
"""
