"""RNA alone."""

from benchmarks.peers.tools.alone import peer

PEER = peer("rna", "RNA")
