"""Collections that do not fit into memory: a sample is judged, and what it taught is applied part by part."""
