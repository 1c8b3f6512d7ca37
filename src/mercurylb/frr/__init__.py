"""FRR as a backend: frr.conf and FRRConfiguration objects as text and structs, vtysh's answers.

Pure: nothing is written, run or sent here.
"""
