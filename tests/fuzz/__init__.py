"""Every decoder of MercuryLB under bytes that a coverage-guided fuzzer makes up.

`python -m tests.fuzz --seconds 60` runs each target that long, two at a time;
`python -m tests.fuzz --seconds 300 arp ndp` runs some;
`python -m tests.fuzz --replay FILE` runs the bytes of a crash once, for a debugger.

The fuzzer is atheris (libFuzzer), fetched into the build cache when the interpreter has none; where
there is no wheel of it, hypothesis takes its place, which is not guided by coverage but knows the
seeds. What was learned is kept in the cache too and used by the next run. A crash is a file,
printed with the command that repeats it; make a named test of it.
"""
