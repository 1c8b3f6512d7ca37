"""The speaker of a node: its brain, which plans what the announcer beside it does on the wire."""
