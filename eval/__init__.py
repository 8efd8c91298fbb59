"""Measures restorers: metrics, datasets, the benchmark and its tables.

Import what you need, `from eval.metrics import psnr`: a bare `import eval` hides the builtin.
"""
