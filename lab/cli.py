"""The lab's command line: ``python -m lab [--name LAB] COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from lab import imagefile, kubeproxy, light, parts, verbs
from lab.compare import command as compare
from lab.errors import LabError
from lab.failover import SCENARIOS

Verb = Callable[[argparse.Namespace], int]
Commands = argparse._SubParsersAction  # noqa: SLF001  (the class has no public name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    given = parser().parse_args(argv)
    if os.geteuid() != 0:
        print("lab: this needs root: it makes network namespaces", file=sys.stderr)
        return 1
    try:
        return int(given.run(given))
    except LabError as failed:
        print(f"lab: {failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def parser() -> ArgumentParser:
    """Return the parser of the whole command line."""
    top = ArgumentParser(prog="python -m lab", description="A Kubernetes cluster of namespaces.")
    _add_name(top, "lab")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_life(commands)
    _add_looks(commands)
    _add_processes(commands)
    _add_faults(commands)
    _add_observers(commands)
    return top


def _add_life(commands: Commands[ArgumentParser]) -> None:
    prepare = _command(commands, "prepare", verbs.prepare, "install and build what a lab needs")
    _add_profile(prepare)
    prepare.add_argument("--frr", action="store_true", help="images of FRR and frr-k8s too (full)")
    up = _command(commands, "up", verbs.up, "bring a lab up; it stays until `down`")
    _add_profile(up)
    up.add_argument("--nodes", type=int, default=3)
    up.add_argument("--controller", default=light.OWN, help="path of a program, or `own` (light)")
    up.add_argument("--speaker", default=light.OWN, help="path of a program, or `own` (light)")
    up.add_argument("--no-programs", action="store_true", help="no controller, no speakers (light)")
    up.add_argument("--crds", default=str(light.CRDS), help="folder of the CRDs' YAML (light)")
    up.add_argument("--proxy-mode", choices=kubeproxy.MODES, default="nftables")
    up.add_argument(
        "--node-lifecycle", action="store_true", help="cut-off nodes become NotReady (light)"
    )
    up.add_argument(
        "--admin-rights",
        action="store_true",
        help="give the programs all rights instead of those of the chart (light)",
    )
    down = _command(commands, "down", verbs.down, "end a lab and remove all it made")
    down.add_argument("--all", action="store_true", help="every lab of this machine")
    down.add_argument("--dead", action="store_true", help="every lab whose owner has died")
    _command(commands, "list", verbs.list_labs, "list the labs of this machine")
    demo = _command(commands, "demo", verbs.demo, "perform the walk-through on a full lab")
    which = demo.add_mutually_exclusive_group()
    which.add_argument(
        "--bgp", dest="parts", action="store_const", const="all", help="with the step on BGP"
    )
    which.add_argument(
        "--bgp-only", dest="parts", action="store_const", const="bgp", help="that step alone"
    )
    demo.set_defaults(parts="layer2")
    text = "write our image, its bill of materials and its provenance into files"
    imagefile.add_arguments(commands.add_parser("image", help=text, description=text))
    text = "feed two controllers the same random objects and compare what they do"
    compare.add_arguments(_command(commands, "compare", compare.run, text))


def _add_looks(commands: Commands[ArgumentParser]) -> None:
    status = _command(commands, "status", verbs.show_status, "processes, hosts, who answers")
    status.add_argument("-o", "--output", choices=("table", "json"), default="table")
    logs = _command(commands, "logs", verbs.logs, "print the log of a component")
    logs.add_argument("component", help="a process as `status` names it")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("--tail", type=int, default=100, metavar="LINES")
    execute = _command(commands, "exec", verbs.execute, "run a command on a host")
    execute.add_argument("host", help="n1, cp, client, router, outside, pod-NAME, …")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    kubectl = _command(commands, "kubectl", verbs.kubectl, "run kubectl as administrator")
    kubectl.add_argument("words", nargs=argparse.REMAINDER, metavar="ARGS")
    web = _command(commands, "web", verbs.web, "start a web and echo server as a pod (light)")
    web.add_argument("pod")
    web.add_argument("node")
    web.add_argument("--label", default="app=web", metavar="KEY=VALUE")


def _add_processes(commands: Commands[ArgumentParser]) -> None:
    for verb, text in (
        ("kill", "send a signal to a process and what it forked (SIGKILL unless told)"),
        ("stop", "end a process gracefully"),
        ("freeze", "stop a process's clock (SIGSTOP)"),
        ("continue", "let a frozen process go on (SIGCONT)"),
        ("start", "start an ended process again"),
        ("restart", "stop and start a process"),
    ):
        added = _command(commands, verb, verbs.process_verb, text)
        added.set_defaults(verb=verb)
        added.add_argument("process", help="as `status` names it, e.g. speaker-n1")
        if verb in {"kill", "freeze", "continue"}:
            added.add_argument(
                "--part", choices=parts.NAMES, help="of a speaker: this half of it alone"
            )
        if verb == "kill":
            added.add_argument("--signal", default="SIGKILL", metavar="NAME")
            added.add_argument("--main-only", action="store_true", help="spare what it forked")
    router = _command(commands, "bgp-router", verbs.bgp_router, "let the router speak BGP (FRR)")
    router.add_argument("--stop", action="store_true", help="end it")
    router.add_argument("--asn", type=int, default=64513)
    router.add_argument("--node-asn", type=int, default=64512, metavar="ASN")
    router.add_argument("--password", default="", help="for TCP MD5")
    router.add_argument("--bfd", action="store_true", help="3 x 50 ms")
    router.add_argument(
        "--timers", type=int, nargs=2, default=(30, 90), metavar=("KEEPALIVE", "HOLD")
    )
    shell = _command(commands, "vtysh", verbs.vtysh, "ask the router, as in its own shell")
    shell.add_argument("commands", nargs="+", metavar="COMMAND", help="e.g. 'show bgp summary'")
    roll = _command(commands, "roll", verbs.roll, "replace all speakers one by one")
    roll.set_defaults(verb="roll")
    for verb, text in (
        ("power-off", "pull a node's plug: all that runs on it ends at once"),
        ("power-on", "plug a node in and start what ran on it"),
    ):
        added = _command(commands, verb, verbs.power, text)
        added.set_defaults(verb=verb)
        added.add_argument("node")
    busy = _command(commands, "hogs", verbs.busy, "use all CPU time there is, for a while")
    busy.add_argument("count", type=int, help="how many processes; 0 ends those that run")
    busy.add_argument("--seconds", type=float, default=60.0)
    trial = _command(commands, "failover", verbs.failover, "break, watch, mend, and judge")
    trial.add_argument("fault", choices=tuple(SCENARIOS))
    trial.add_argument("addresses", nargs="+", help="of one service, its first one first")
    trial.add_argument("--rounds", type=int, default=1)
    trial.add_argument("--no-echo", action="store_true", help="the service echoes no datagrams")


def _add_faults(commands: Commands[ArgumentParser]) -> None:
    cut = _fault(commands, "cut", "pull the cables of hosts")
    cut.add_argument("hosts", nargs="+")
    down = _fault(commands, "link-down", "set the interface of hosts down, on their own side")
    down.add_argument("hosts", nargs="+")
    up = _fault(commands, "link-up", "set the interface of hosts up again")
    up.add_argument("hosts", nargs="+")
    heal = _fault(commands, "heal", "end the faults of hosts, or all faults")
    heal.add_argument("hosts", nargs="*")
    drop = _fault(commands, "drop", "lose a share of a host's frames")
    drop.add_argument("host")
    drop.add_argument("share", type=float, help="0 to 1")
    drop.add_argument("--direction", choices=("from", "to", "both"), default="both")
    drop.add_argument("--match", default="", help="only these, e.g. 'udp dport 7946'")
    block = _fault(commands, "block", "let nothing pass from one host to another")
    block.add_argument("source")
    block.add_argument("target")
    partition = _fault(commands, "partition", "split hosts into groups: n1,n2 n3")
    partition.add_argument("groups", nargs="+", metavar="HOST,HOST")
    delay = _fault(commands, "delay", "hold back every frame from and to a host")
    delay.add_argument("host")
    delay.add_argument("ms", type=float)
    delay.add_argument("--jitter-ms", type=float, default=0.0)
    claim = _fault(commands, "claim", "let a foreign host claim an address")
    claim.add_argument("address")
    claim.add_argument("--host", default="foreign")
    release = _fault(commands, "release", "remove a foreign host and its claims")
    release.add_argument("host", nargs="?", default="foreign")


def _add_observers(commands: Commands[ArgumentParser]) -> None:
    owner = _command(commands, "owner", verbs.owner, "watch who answers for an address")
    owner.add_argument("address")
    _add_observation(owner, 10.0)
    probe = _command(commands, "probe", verbs.probe, "probe a service and report its gaps")
    probe.add_argument("protocol", choices=("http", "udp"))
    probe.add_argument("target", help="a URL, or an address for udp")
    probe.add_argument("port", type=int, nargs="?", default=80)
    _add_observation(probe, 20.0)
    capture = _command(commands, "capture", verbs.capture, "print frames as JSON lines")
    capture.add_argument("--host", default="client")
    capture.add_argument("--interface", default="eth0")
    capture.add_argument("--only", default="", help="arp,ndp,tcp,udp,icmp,icmp6")
    capture.add_argument("--address", help="only frames that name this address")
    capture.add_argument("--write", metavar="FILE", help="write a pcap file too")
    capture.add_argument("--duration-s", type=float, default=0.0, help="0: until Ctrl-C")


def _add_observation(command: ArgumentParser, interval_ms: float) -> None:
    command.add_argument("--host", default="client", help="where the observer stands")
    command.add_argument("--interval-ms", type=float, default=interval_ms)
    command.add_argument("--duration-s", type=float, default=10.0)
    command.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_profile(command: ArgumentParser) -> None:
    command.add_argument("--profile", choices=("light", "full"), default="light")


def _fault(commands: Commands[ArgumentParser], verb: str, text: str) -> ArgumentParser:
    added = _command(commands, verb, verbs.fault, text)
    added.set_defaults(verb=verb)
    return added


def _command(commands: Commands[ArgumentParser], name: str, run: Verb, text: str) -> ArgumentParser:
    added = commands.add_parser(name, help=text, description=text)
    _add_name(added, argparse.SUPPRESS)
    added.set_defaults(run=run)
    return added


def _add_name(command: ArgumentParser, default: str) -> None:
    command.add_argument("--name", default=default, metavar="LAB", help="the lab's name")
