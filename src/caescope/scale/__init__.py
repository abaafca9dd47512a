"""Jobs that several processes share, on one machine or on many, through Ray.

Ray starts and restarts processes, moves data between them and says what a cluster has; what is trained and
encoded in them is the same code as in one process alone.
"""
