"""Filling knowledge bases: what both adapters do to keep one in step with a source."""
