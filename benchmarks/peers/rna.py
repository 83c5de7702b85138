"""RNA alone."""

from alone import peer

PEER = peer("rna", "RNA")
