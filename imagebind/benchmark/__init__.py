"""How fast, and with how much memory, on the machine at hand.

Machines differ and are noisy, so most figures are ratios within one run: against the same machine's own
rate, or against another way to the same result, measured by turns.
"""
