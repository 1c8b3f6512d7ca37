"""From all configuration objects to one `Config`, or to the list of everything that is wrong.

`compile_config` is shared by controller, speaker, webhook and command line, so that all of them
accept and refuse the same; who looks at which objects is said in `resources`, and what a webhook
makes of the problems in `admission`. Compiling is total: whatever the objects hold, it returns
problems and never raises. A configuration with any problem is refused as a whole; the caller keeps
the one it has.

Its result depends on the objects only, not on their order. Objects with mistakes go on being
checked against others as far as they are understood, so that everything is told at once.
"""
