"""Who is alive: machines that turn received datagrams and silence into a set of live nodes.

All of them offer `member.Membership`; the announcer does not know which one it runs.
"""
