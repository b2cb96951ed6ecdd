"""The drawing library: matplotlib figures from arrays and tables; it reads no files."""
