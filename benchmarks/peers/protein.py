"""Protein alone."""

from alone import peer

PEER = peer("prot", "protein")
