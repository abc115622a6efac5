"""What ``superres doctor`` looks at. Only Python's own library is imported before a probe runs."""
