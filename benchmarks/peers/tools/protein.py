"""Protein alone."""

from benchmarks.peers.tools.alone import peer

PEER = peer("prot", "protein")
