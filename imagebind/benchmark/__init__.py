"""Benchmarks of speed and memory on the current machine.

Machines differ and are noisy, so most figures are ratios within one run: relative to the machine's own rate,
or to another method with the same result, measured alternately.
"""
