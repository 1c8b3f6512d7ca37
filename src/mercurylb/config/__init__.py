"""From all configuration objects to one `Config`, or to the list of everything that is wrong.

`compile_config` is shared by controller, speaker, webhook and command line, so that all of them
accept and refuse the same. It is total: whatever the objects hold, it returns problems and never
raises. A configuration with any problem is refused as a whole; the caller keeps the one it has.

Its result depends on the objects only, not on their order. BGP kinds are not compiled yet.
"""
