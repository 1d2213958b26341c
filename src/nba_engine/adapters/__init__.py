"""Edges to what surrounds the engine: stored profiles, and whatever else speaks through the seams of ports.py. One file each."""
